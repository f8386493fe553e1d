"""Faults of processes: killed, frozen, at any moment or at a moment that shows outside.

Nothing in the product waits for these: what is looked at is what a report, a lease, a file or a log shows to
everybody.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from sqlalchemy.exc import DatabaseError
from tests.chaos.kinds import ACTUATORS, AGENTS, ROLES, Fault, Undo, choice, holder, in_role, nothing, part
from tests.chaos.schedule import Step
from tests.chaos.site import COORDINATORS, DEVICES, NotInTime, Site

#: Real seconds that a board may take to be put back on a busy machine.
PUT_BACK_S = 60.0
#: Real seconds that a moment is waited for; a fault comes without it then.
MOMENT_S = 8.0
#: That an agent may take to begin and to move its board.
BEGIN_S = 30.0
GLANCE_S = 0.0005


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
    return nothing


def database_fails_over(site: Site, step: Step) -> Undo:
    """Another server has followed; the first is killed, and the other is what is dialled from now on."""
    try:
        second = site.database.follower(site.folder / f"postgres-{step.number}")
    except RuntimeError as error:
        raise NotInTime(str(error)) from error
    site.database.stop()
    second.promote()
    site.serve_from(second)
    return nothing


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
    if site.units[agent].running:
        return  # another fault has brought it back
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


def awaited(site: Site, moment: Callable[[], object], longest_s: float = MOMENT_S) -> None:
    """Look as often as can be until it shows; the fault comes in any case, and the site counts which."""
    ends_s = time.monotonic() + longest_s
    while time.monotonic() < ends_s:
        with contextlib.suppress(DatabaseError, OSError):
            if moment():
                site.moments["seen"] += 1
                return
        time.sleep(GLANCE_S)
    site.moments["not seen"] += 1


def report_heard(site: Site, device: str = "") -> None:
    """Wait until the broker tells on a report: it is published, and nobody has answered yet."""
    topic = f"/device/{device}/report" if device else "/report"
    seen = len(site.watcher.heard)
    awaited(site, lambda: any(one.topic.endswith(topic) for one in site.watcher.heard[seen:]))


def agent_killed_at_report(site: Site, step: Step) -> Undo:
    report_heard(site, step.target.partition(".")[0])
    return agent_killed(site, step)


def coordinator_killed_at_report(site: Site, step: Step) -> Undo:
    report_heard(site)
    return coordinator_killed(site, step)


def database_killed_at_report(site: Site, step: Step) -> Undo:
    report_heard(site)
    return database_killed(site, step)


def agent_killed_at_counters(site: Site, step: Step) -> Undo:
    """Its counters are on the disk, and perhaps nobody has been told."""
    path = site.state(step.target.partition(".")[0]) / "counters.json"

    def stamp() -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    before = stamp()
    awaited(site, lambda: stamp() != before)
    return agent_killed(site, step)


def actuator_killed_at_undo(site: Site, step: Step) -> Undo:
    """What was found is on the disk, and the board is about to change, or half changed.

    For that the agent begins anew, on a board as it was found, with more load than that mode carries.
    """
    device = step.target.partition(".")[0]
    undo, agent = site.boards[device].hands.undo, f"{device}.agent"
    site.units[agent].kill()
    site.applications.rate(device, 340.0 * site.speed)
    back(site, agent)
    awaited(site, undo.exists, BEGIN_S)
    return actuator_killed(site, step)


def coordinator_killed_at_lease(site: Site, step: Step) -> Undo:
    """The holder is killed, and its successor as soon as the lease is its own."""
    first = holder(site)
    second = next(one for one in COORDINATORS if one != first)
    site.units[first].kill()
    awaited(site, lambda: site.holder() == second)
    site.units[second].kill()

    def up() -> None:
        site.units[first].release()
        site.units[second].release()

    return up


def coordinator_killed_at_order(site: Site, step: Step) -> Undo:
    """What is to hold is in the journal, and nobody has been told."""
    unit = site.units[holder(site)]
    with contextlib.suppress(DatabaseError):
        site.order(20.0 + step.number / 10.0)
    unit.kill()
    return unit.release


FAULTS: dict[str, Fault] = {
    "broker killed": Fault(choice(["broker"]), broker_killed),
    "broker frozen": Fault(choice(["broker"], longest_s=5.0), broker_frozen),
    "database killed": Fault(choice(["database"]), database_killed),
    "database connection killed": Fault(choice(["database"], longest_s=0.1), connection_killed),
    "database fails over": Fault(choice(["database"], 0.5, 0.1), database_fails_over),
    "coordinator killed": Fault(choice(ROLES, 2.0), coordinator_killed, in_role),
    "coordinator frozen": Fault(choice(ROLES, longest_s=6.0), coordinator_frozen, in_role),
    "agent killed": Fault(choice(AGENTS, 2.0), agent_killed),
    "agent frozen": Fault(choice(AGENTS, longest_s=8.0), agent_frozen),
    "actuator killed": Fault(choice(ACTUATORS, 2.0), actuator_killed),
    "agent and actuator killed": Fault(choice(DEVICES), board_killed, part("agent")),
    "agent killed as its report is heard": Fault(choice(AGENTS), agent_killed_at_report),
    "agent killed as its counters are kept": Fault(choice(AGENTS), agent_killed_at_counters),
    "actuator killed as its undo is kept": Fault(choice(ACTUATORS), actuator_killed_at_undo),
    "coordinator killed as a report is heard": Fault(choice(ROLES), coordinator_killed_at_report, in_role),
    "coordinator killed as an order is kept": Fault(
        choice(["holder"]), coordinator_killed_at_order, in_role
    ),
    "successor killed as it takes the lease": Fault(choice(["holder"]), coordinator_killed_at_lease, in_role),
    "database killed as a report is heard": Fault(choice(["database"]), database_killed_at_report),
}  # fmt: skip
