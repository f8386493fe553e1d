"""What a fault is, and whom it may come to."""

import contextlib
from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy.exc import DatabaseError
from tests.chaos.schedule import Choice, Step
from tests.chaos.site import COORDINATORS, DEVICES, Site

Undo = Callable[[], None]
ROLES = ("holder", "other")
AGENTS = tuple(f"{device}.agent" for device in DEVICES)
ACTUATORS = tuple(f"{device}.actuator" for device in DEVICES)


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault."""

    choice: Choice
    begin: Callable[[Site, Step], Undo]
    """Has it come, and gives what undoes it."""
    place: Callable[[Site, Step], str] = lambda _site, step: step.target
    """What it comes to; what is under a fault already is healed before another one comes to it."""


def choice(targets: Iterable[str], weight: float = 1.0, longest_s: float = 3.0) -> Choice:
    return Choice(tuple(sorted(targets)), weight, longest_s)


def holder(site: Site) -> str:
    """Who publishes, by the database; the first of them where that is away or names nobody."""
    with contextlib.suppress(DatabaseError):
        return site.holder() or COORDINATORS[0]
    return COORDINATORS[0]


def in_role(site: Site, step: Step) -> str:
    """The coordinator that is meant by its role."""
    name = holder(site)
    return name if step.target == "holder" else next(one for one in COORDINATORS if one != name)


def part(name: str) -> Callable[[Site, Step], str]:
    """That part of the target."""
    return lambda _site, step: f"{step.target}.{name}"


def nothing() -> None:
    """It undoes itself."""
