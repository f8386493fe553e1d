"""What table to publish next: the cheapest, unless somebody's order holds; never one that the checker faults.

Pure. An order goes as far as it is safe: one that leads to a table that breaks a limit is set aside, and the
table says so. What nobody can serve is refused openly in the table; where nothing is known at all there is
none, and routers go on with the last one, then with its safe half.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.checker import faults
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.fixing import Given, fixed_table
from tidewatt_coordinator.dispatch.general import Unsolved
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import next_table
from tidewatt_coordinator.steering.orders import Order, drained, freeze_of, weights_of

#: Faults that are told: the rest is more of the same.
TOLD = 3
#: Past its expiry a table's safe half must hold for this many times as long as the table itself.
SAFE_TIMES = 2.0


class NoTable(Exception):
    """There is no table that may be published; the sentence says why."""

    expected = False
    """Whether that is how things begin, and no news."""


class NobodyYet(NoTable):
    """Nothing that could serve has been heard of."""

    expected = True


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a table is made of."""

    backends: list[Backend]
    classes: list[RequestClass]
    terms: Terms
    unknown: list[str] = []
    """Classes of which no rate is known: they stand among `classes` with none."""
    orders: list[Order] = []
    """Those that hold."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A table that passed the checker."""

    table: Table
    safe: Table | None
    """What to do past its expiry; None where nothing that is safe could be found."""
    notes: list[str]
    """What people should know of it, a sentence each."""
    shown: list[Backend]
    """The backends as it took them: with those draining that an order drains."""


def choose(facts: Facts, last: Table | None, valid_s: float) -> Chosen:
    """The next table; NoTable where there can't be one."""
    backends = drained(facts.backends, facts.orders)
    _known(backends, facts.terms)
    known = replace(facts, backends=backends)
    table, notes = _ordered(known, last)
    notes = [one.sentence for one in facts.orders if one.kind in ("drain", "interruption")] + notes
    return Chosen(table=table, safe=_safe(known, valid_s), notes=notes, shown=backends)


def _known(backends: Sequence[Backend], terms: Terms) -> None:
    names = [one.name for one in backends]
    if (
        twice := sorted({name for name in names if names.count(name) > 1})
        if len(set(names)) < len(names)
        else []
    ):
        raise NoTable(f"two backends are called {twice[0]}: a pool must not have a device's or a site's name")
    if not any(one.usable_rps > 0.0 and one.age_s <= terms.expire_s for one in backends):
        kind = NoTable if backends else NobodyYet
        raise kind("no backend is able to serve: routers use their safe table")


def _ordered(facts: Facts, last: Table | None) -> tuple[Table, list[str]]:
    """The table by the orders as far as they are safe, and what is to be said of them."""
    blind: dict[str, Given] = dict.fromkeys(facts.unknown)
    given, orders = _given(facts, last)
    notes = [
        f"nobody knows the rate of class {name}: it is shared out in proportion to capacity"
        for name in facts.unknown
        if name not in given
    ]
    if given:
        table = _solved(facts, blind | given, last)
        wrong = faults(table, facts.backends, facts.classes, facts.terms, last)
        if not wrong:
            return table, notes + [one.sentence for one in orders]
        notes += [f"set aside: {one.sentence}, for {'; '.join(wrong[:TOLD])}" for one in orders]
    return _checked(facts, blind, last), notes


def _given(facts: Facts, last: Table | None) -> tuple[dict[str, Given], list[Order]]:
    """The weights that orders give, by class, and these orders."""
    given: dict[str, Given] = {}
    orders: list[Order] = []
    freeze = freeze_of(facts.orders)
    for asked in facts.classes:
        order = weights_of(facts.orders, asked.name)
        if order:
            given[asked.name] = order.weights
        elif freeze and last and last.weights.get(asked.name):
            given[asked.name] = {name: float(parts) for name, parts in last.weights[asked.name].items()}
            order = freeze
        if order and order not in orders:
            orders.append(order)
    return given, orders


def _solved(facts: Facts, given: Mapping[str, Given], last: Table | None) -> Table:
    try:
        if given:
            return fixed_table(facts.backends, facts.classes, facts.terms, given, last)
        return next_table(facts.backends, facts.classes, facts.terms, last)
    except Unsolved as error:
        raise NoTable(f"no table was found: {error}") from error


def _checked(facts: Facts, given: Mapping[str, Given], last: Table | None) -> Table:
    table = _solved(facts, given, last)
    wrong = faults(table, facts.backends, facts.classes, facts.terms, last)
    if wrong and given:  # what is shared out blindly can't refuse what doesn't fit
        return _checked(facts, {}, last)
    if wrong:
        raise NoTable(f"the checker refuses the table: {'; '.join(wrong[:TOLD])}")
    return table


def _safe(facts: Facts, valid_s: float) -> Table | None:
    """For the worst that can have happened when the table has been void for as long as it was good.

    It refuses nothing: what nobody was told of for minutes is no ground to turn people away. Where its demand
    doesn't fit, shares are in proportion to capacity.
    """
    terms = replace(
        facts.terms,
        interval_s=SAFE_TIMES * valid_s,
        expire_s=facts.terms.expire_s + SAFE_TIMES * valid_s,
    )
    late = replace(facts, terms=terms)
    alone: dict[str, Given] = dict.fromkeys(facts.unknown)
    try:
        table = _checked(late, alone, None)
        if not table.refused:
            return table
        return _solved(late, dict.fromkeys(one.name for one in facts.classes), None)
    except NoTable:
        return None
