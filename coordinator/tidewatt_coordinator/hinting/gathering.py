"""What the planner is told of devices. Pure.

What counts is where a device was seen, and how long ago. One that only observes follows no hint: it is
planned with as it stands.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from tidewatt_coordinator.ledger.baselines import ASSUMED_WATTS
from tidewatt_coordinator.planning.envelopes import Envelope, envelopes_of
from tidewatt_coordinator.planning.plan import Device
from tidewatt_coordinator.steering.edge import NOWHERE, Known
from tidewatt_governor.policy import allowed
from tidewatt_wire.sleeping import ASLEEP, SleepState

#: The group of a fleet whose proxies choose among all devices.
WHOLE = "all"
#: Nobody is there at once.
LEAST_WAKE_S = 1.0


class Seen(msgspec.Struct, frozen=True):
    """A device that serves, where it stood, and what it served, when it was heard last."""

    known: Known
    point: str | None
    rps: float | None
    status: Literal["online", "asleep", "overdue"] = "online"
    sleep: SleepState | None = None
    """Its own word on its sleep."""
    held: bool = False
    """Whether somebody on the board holds it awake by a lease."""

    @property
    def site(self) -> str:
        """Where it is."""
        return self.known.birth.labels.get("site", "") or NOWHERE

    @property
    def obeys(self) -> bool:
        """Whether it may follow a hint."""
        return self.known.birth.control == "enforce" and self.known.policy.control != "observe"


def grouped(seen: Iterable[Seen], *, by_site: bool) -> dict[str, list[Seen]]:
    """The devices among which traffic can be moved: all, or those of a site that has a proxy of its own."""
    found: dict[str, list[Seen]] = {}
    for one in seen:
        name = one.site if by_site else WHOLE
        found.setdefault(name, []).append(one)
    return dict(sorted(found.items()))


def envelopes(seen: Seen) -> tuple[Envelope, ...]:
    """Where it may be asked to stand; empty where nothing keeps the promise."""
    policy = seen.known.policy
    found = envelopes_of(allowed(seen.known.birth.points, policy), policy.slo_p95_ms)
    return found if seen.obeys else tuple(one for one in found if one.point == seen.point)


def rest_of(seen: Seen) -> Envelope | None:
    """How it may sleep: by its policy, and by its own word as its trial left it; None: not at all."""
    told = seen.sleep
    if not seen.obeys or seen.known.policy.sleep is None or seen.held:
        return None
    if told is None or not told.able or told.resume_s is None:
        return None
    watts = ASSUMED_WATTS if told.watts is None else told.watts
    return Envelope(ASLEEP, 0.0, watts, wake_s=max(told.resume_s, LEAST_WAKE_S))


def devices(group: Sequence[Seen], rests: Mapping[str, Envelope]) -> list[Device]:
    """As the planner takes them: those that have somewhere to stand. `rests`: how each may sleep that may."""
    return [
        Device(
            one.known.name,
            (*there, rests[one.known.name]) if one.known.name in rests else there,
            one.point,
            max(0.0, one.known.age_s) / 60.0,
        )
        for one in group
        if (there := envelopes(one))
    ]


def demand_of(group: Sequence[Seen], edge_share: float) -> float | None:
    """Requests/s asked of the group and of the cloud behind it; None where no device tells."""
    told = [one.rps for one in group if one.rps is not None]
    return sum(told) / edge_share if told else None


def most_rps(group: Sequence[Seen]) -> float:
    """What all of them could serve, each at its strongest."""
    return sum(max((one.usable_rps for one in envelopes(seen)), default=0.0) for seen in group)


def floor_rps(group: Sequence[Seen]) -> float:
    """A demand below this is next to nothing to the group."""
    return sum(min((one.usable_rps for one in envelopes(seen)), default=0.0) for seen in group) / 6.0
