"""A world lived through, and a scenario's answer. Pure: book, profiles and demand are given."""

from collections.abc import Mapping
from datetime import date

import msgspec

from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.simulate.demand import Demand
from tidewatt_coordinator.simulate.life import live
from tidewatt_coordinator.simulate.outcome import Outcome, Sight, compare
from tidewatt_coordinator.simulate.pricing import Bill
from tidewatt_coordinator.simulate.world import Change, World, changed
from tidewatt_governor.boards import BoardProfile


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario that is often asked for."""

    name: str
    title: str
    change: Change


class Means(msgspec.Struct, frozen=True):
    """What simulating needs of the world outside."""

    book: PriceBook
    on: date
    """The day whose prices hold."""
    profiles: Mapping[str, BoardProfile]


def sight(world: World, demand: Demand, means: Means, like: Sight | None = None) -> Sight:
    """The world after the days of the demand.

    `like`: one after the same days; where the worlds differ in delivery alone, they lived the same.
    Raises ValueError for a board profile, PriceError for a price, that isn't known.
    """
    bill = Bill(world, means.book, means.on)
    if like and msgspec.structs.replace(world, delivery=like.world.delivery) == like.world:
        return Sight(world, like.lived, bill)
    name = world.boards.profile if world.boards else ""
    if name and name not in means.profiles:
        raise ValueError(f"no board profile {name!r}; shipped ones: {', '.join(sorted(means.profiles))}")
    return Sight(world, live(world, demand, means.profiles.get(name), bill.prices), bill)


def outcome(name: str, first: Sight, change: Change, demand: Demand, means: Means, *, seed: int) -> Outcome:
    """The scenario's outcome beside the world as it is, which `demand` was lived in."""
    after = changed(first.world, change)
    if change.traffic is None:
        second = sight(after, demand, means, first)
    else:
        second = sight(after, demand.times(change.traffic), means)
    return compare(name, demand.what, first, second, seed=seed)
