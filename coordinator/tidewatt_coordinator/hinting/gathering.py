"""What the planner is told of devices. Pure.

What counts is where a device was seen, and how long ago. One that only observes follows no hint: it is
planned with as it stands.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from tidewatt_coordinator.planning.envelopes import Envelope, envelopes_of
from tidewatt_coordinator.planning.plan import Device
from tidewatt_coordinator.steering.edge import NOWHERE, Known
from tidewatt_governor.policy import allowed

#: The group of a fleet whose proxies choose among all devices.
WHOLE = "all"


class Seen(msgspec.Struct, frozen=True):
    """A device that serves, where it stood, and what it served, when it was heard last."""

    known: Known
    point: str | None
    rps: float | None

    @property
    def obeys(self) -> bool:
        """Whether it may follow a hint."""
        return self.known.birth.control == "enforce" and self.known.policy.control != "observe"


def grouped(seen: Iterable[Seen], *, by_site: bool) -> dict[str, list[Seen]]:
    """The devices among which traffic can be moved: all, or those of a site that has a proxy of its own."""
    found: dict[str, list[Seen]] = {}
    for one in seen:
        name = (one.known.birth.labels.get("site", "") or NOWHERE) if by_site else WHOLE
        found.setdefault(name, []).append(one)
    return dict(sorted(found.items()))


def envelopes(seen: Seen) -> tuple[Envelope, ...]:
    """Where it may be asked to stand; empty where nothing keeps the promise."""
    policy = seen.known.policy
    found = envelopes_of(allowed(seen.known.birth.points, policy), policy.slo_p95_ms)
    return found if seen.obeys else tuple(one for one in found if one.point == seen.point)


def awake_only(_seen: Seen) -> tuple[Envelope, ...]:
    """Nobody may be planned to sleep."""
    return ()


def devices(
    group: Sequence[Seen], rests: Callable[[Seen], tuple[Envelope, ...]] = awake_only
) -> list[Device]:
    """As the planner takes them: those that have somewhere to stand. `rests`: how one may sleep."""
    return [
        Device(
            one.known.name,
            (*there, *rests(one)) if one.obeys else there,
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
