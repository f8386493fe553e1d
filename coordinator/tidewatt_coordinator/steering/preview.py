"""What the next table would be if something were different. Pure."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.steering.book import Kept
from tidewatt_coordinator.steering.choosing import Chosen, choose


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be supposed."""

    drain: Sequence[str] = ()
    """Backends that get nothing."""
    rates: Mapping[str, float] = {}
    """Requests/s by class."""
    capacities: Mapping[str, float] = {}
    """Requests/s by backend."""
    without_orders: bool = False
    """As if nobody had ordered anything."""


def preview(kept: Kept, changes: Changes, valid_s: float) -> Chosen:
    """The table that would follow the one that is kept, free to go anywhere at once. ValueError for names
    that aren't known, choosing.NoTable where there would be none.
    """
    backends = [
        replace(
            one,
            usable_rps=changes.capacities.get(one.name, one.usable_rps),
            draining=one.draining or one.name in changes.drain,
        )
        for one in kept.facts.backends
    ]
    if changes.without_orders:
        drained = {one.backend for one in kept.facts.orders}
        backends = [
            replace(one, draining=one.name in changes.drain) if one.name in drained else one
            for one in backends
        ]
    classes = [replace(one, rate_rps=changes.rates.get(one.name, one.rate_rps)) for one in kept.facts.classes]
    _all_known({*changes.drain, *changes.capacities}, [one.name for one in backends], "backend")
    _all_known(set(changes.rates), [one.name for one in classes], "class")
    facts = replace(
        kept.facts,
        backends=backends,
        classes=classes,
        terms=replace(kept.facts.terms, motion=2.0, hysteresis=0.0),
        unknown=[name for name in kept.facts.unknown if name not in changes.rates],
        orders=[] if changes.without_orders else kept.facts.orders,
    )
    return choose(facts, kept.table, valid_s)


def _all_known(wanted: set[str], known: Sequence[str], what: str) -> None:
    for name in sorted(wanted - set(known)):
        raise ValueError(f"there is no {what} {name!r}; there are: {', '.join(sorted(known)[:20])}")
