"""The faults, by name: what each does to the site, and how it is undone.

`begin` is given the site and the step, and gives what undoes it. What is already under a fault is
healed before another one comes to it.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable

import msgspec
from sqlalchemy.exc import DatabaseError
from tests.chaos.schedule import Choice, Step
from tests.chaos.site import COORDINATORS, DEVICES, NotInTime, Site

Undo = Callable[[], None]
#: Real seconds that a board may take to be put back on a busy machine.
PUT_BACK_S = 60.0
ROLES = ("holder", "other")


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault."""

    choice: Choice
    begin: Callable[[Site, Step], Undo]
    point: str = ""
    """The moment that it waits for, if it does."""
    place: Callable[[Site, Step], str] = lambda _site, step: step.target
    """What it comes to: one fault at a time."""


def agents() -> list[str]:
    return [f"{device}.agent" for device in DEVICES]


def holder(site: Site) -> str:
    """Who publishes, by the database; the first of them where that is away or names nobody."""
    with contextlib.suppress(DatabaseError):
        return site.holder() or COORDINATORS[0]
    return COORDINATORS[0]


def in_role(site: Site, step: Step) -> str:
    """The coordinator that is meant."""
    name = holder(site)
    return name if step.target == "holder" else next(one for one in COORDINATORS if one != name)


def broker_killed(site: Site, step: Step) -> Undo:
    site.secured.kill()
    return site.secured.start


def database_killed(site: Site, step: Step) -> Undo:
    site.database.stop()
    return site.database.run


def connection_killed(site: Site, step: Step) -> Undo:
    """PostgreSQL ends all of its processes when one of them dies, and recovers by itself."""
    backends = site.database.backends
    if backends:
        with contextlib.suppress(ProcessLookupError):
            os.kill(backends[int(step.amount * len(backends)) % len(backends)], signal.SIGKILL)
    return lambda: None


def coordinator_killed(site: Site, step: Step) -> Undo:
    unit = site.units[in_role(site, step)]
    unit.kill()
    return unit.release


def coordinator_frozen(site: Site, step: Step) -> Undo:
    """It sleeps through its lease, and wakes believing in it."""
    unit = site.units[in_role(site, step)]
    unit.signal(signal.SIGSTOP)
    return lambda: unit.signal(signal.SIGCONT)


def broker_frozen(site: Site, step: Step) -> Undo:
    site.secured.freeze()
    return site.secured.thaw


def agent_killed(site: Site, step: Step) -> Undo:
    site.units[step.target].kill()
    return lambda: back(site, step.target)


def agent_frozen(site: Site, step: Step) -> Undo:
    site.units[step.target].signal(signal.SIGSTOP)
    return lambda: site.units[step.target].signal(signal.SIGCONT)


def back(site: Site, agent: str) -> None:
    """The agent comes back, after its board was seen to be put back by its actuator."""
    device = agent.partition(".")[0]
    actuator = site.units[f"{device}.actuator"]
    ends_s = time.monotonic() + PUT_BACK_S
    while actuator.running and not site.boards[device].untouched:
        if time.monotonic() > ends_s:
            raise NotInTime(f"{device}'s agent died, and its actuator didn't put the board back")
        time.sleep(0.02)
    site.units[agent].release()


def actuator_killed(site: Site, step: Step) -> Undo:
    site.units[step.target].kill()
    return site.units[step.target].release  # which has the board put back first, as ExecStopPost does


def board_killed(site: Site, step: Step) -> Undo:
    """Both halves at once: a power cut, as far as processes feel it."""
    both = [site.units[f"{step.target}.{half}"] for half in ("agent", "actuator")]
    for unit in both:
        unit.kill()

    def up() -> None:
        for unit in reversed(both):
            unit.release()

    return up


def load_moved(site: Site, step: Step) -> Undo:
    """No fault, but what makes boards move while faults come: up to more than any mode carries."""
    site.applications.rate(step.target, step.amount * 400.0 * site.speed)
    return lambda: None


def _choice(targets: list[str] | tuple[str, ...], weight: float = 1.0, longest_s: float = 3.0) -> Choice:
    return Choice(sorted(targets), weight, longest_s)


FAULTS: dict[str, Fault] = {
    "broker killed": Fault(_choice(["broker"]), broker_killed),
    "database killed": Fault(_choice(["database"]), database_killed),
    "coordinator killed": Fault(_choice(ROLES, 2.0), coordinator_killed, place=in_role),
    "agent killed": Fault(_choice(agents(), 2.0), agent_killed),
    "actuator killed": Fault(_choice([f"{one}.actuator" for one in DEVICES], 2.0), actuator_killed),
}
