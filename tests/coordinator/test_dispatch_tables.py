"""Every table keeps what the terms promise, for any fleet, and an independent checker says so."""

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import pools

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.dispatch.checker import faults
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.overflow import in_flight, spilled
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import next_table

often = settings(max_examples=200)
QUICK = pools.LATENCIES[0]


@given(
    st.lists(pools.backends(), min_size=1, max_size=3),
    st.lists(pools.classes(), min_size=3, max_size=3),
    pools.terms(),
)
@often
def test_every_table_passes_the_checker(
    fleets: list[list[Backend]], asked: list[list[RequestClass]], terms: Terms
) -> None:
    last: Table | None = None
    for fleet, wanted in zip(fleets, asked, strict=False):
        table = next_table(fleet, wanted, terms, last)
        assert faults(table, fleet, wanted, terms, last) == []
        last = table


@given(pools.backends(), pools.classes(), pools.terms(), st.data())
@often
def test_old_telemetry_never_overloads(
    fleet: list[Backend], asked: list[RequestClass], terms: Terms, data: st.DataObject
) -> None:
    """Whatever demand grew to and capacity fell to since, within the terms, until the next table."""
    terms = msgspec.structs.replace(terms, held=False)  # else it is the proxies that see to it
    table = next_table(fleet, asked, terms)
    at = data.draw(st.floats(0.0, terms.interval_s))
    growth = data.draw(st.floats(-terms.demand_growth_per_s, terms.demand_growth_per_s))
    loss = data.draw(st.floats(0.0, terms.capacity_loss_per_s))
    lost = data.draw(st.sampled_from(["", "a", "b", "c"])) if table.absorbs_loss else ""
    gone = {backend.name for backend in fleet if lost and backend.domain == lost}
    truth = {one.name: one.rate_rps * (1.0 + growth * (one.age_s + at)) for one in asked}
    for backend in fleet:
        if backend.name in gone:
            continue
        load = 0.0
        for one in asked:
            left = 1.0 - sum(table.share(one.name, name) for name in gone)
            served = truth[one.name] * (1.0 - table.refused.get(one.name, 0.0))
            load += served * table.share(one.name, backend.name) / left if load >= 0.0 and left > 0.0 else 0.0
        capacity = backend.usable_rps * (1.0 - loss * (backend.age_s + at))
        assert load <= terms.fill * capacity * (1.0 + 1e-6) + 1e-9


@given(pools.backends(), pools.classes(), pools.terms(), st.randoms(use_true_random=False))
@often
def test_weights_do_not_depend_on_names_or_order(
    fleet: list[Backend], asked: list[RequestClass], terms: Terms, chance: random.Random
) -> None:
    new = [f"n{number}" for number in range(len(fleet))]
    chance.shuffle(new)
    names = {backend.name: name for backend, name in zip(fleet, new, strict=True)}
    renamed = [msgspec.structs.replace(backend, name=names[backend.name]) for backend in fleet]
    chance.shuffle(renamed)
    here, there = next_table(fleet, asked, terms), next_table(renamed, asked, terms)
    for one in asked:
        for backend in fleet:
            mine = here.weights.get(one.name, {}).get(backend.name, 0)
            theirs = there.weights.get(one.name, {}).get(names[backend.name], 0)
            assert abs(mine - theirs) <= 1, "more than the part that rounding may move"


def fleet(**changed: float) -> list[Backend]:
    """Two sites with two Jetsons each, and Lambda behind them."""
    jetsons = [
        Backend(f"{site}{number}", 100.0, 1e-6, latency=QUICK, domain=site)
        for site in ("north", "south")
        for number in (1, 2)
    ]
    behind = Backend("lambda", 10_000.0, 5e-5, kind="lambda", latency=pools.LATENCIES[1])
    return [
        msgspec.structs.replace(backend, usable_rps=changed.get(backend.name, backend.usable_rps))
        for backend in [*jetsons, behind]
    ]


ALONE = Terms(absorb_loss=False, explore=0.0)
TIGHT = RequestClass("tight", 100.0, 0.025)
LOOSE = RequestClass("loose", 250.0, 0.1)


def test_the_tight_class_keeps_the_edge_and_the_loose_one_overflows() -> None:
    """The ladder of "edge if there is room" gives the edge to whoever comes first."""
    table = next_table(fleet(), [TIGHT, LOOSE], ALONE)
    assert table.share("tight", "lambda") == 0.0
    assert 0.0 < table.share("loose", "lambda") < 0.2
    assert table.certificate.gap < 1e-3
    site = table.certificate.sites[0]
    # 100 rps x 0.85, aged by 10 s, that Lambda would else serve.
    assert site.saves_per_day == pytest.approx(85 * 0.995 * 86_400 * 4.9e-5, rel=1e-3)
    assert site.sentence == f"one more Jetson at {site.domain} saves up to {site.saves_per_day:.2f} a day"
    assert f"the capacity of {site.domain} binds" in table.reason


def test_a_spare_site_is_kept_for_the_loss_of_the_other() -> None:
    near = Terms(absorb_loss=True, explore=0.0)
    small = [RequestClass("tight", 60.0, 0.025)]
    table = next_table(fleet(), small, near)
    assert table.absorbs_loss
    more = [RequestClass("tight", 300.0, 0.025)]
    short = next_table(fleet(), more, near)
    assert not short.absorbs_loss, "the other site could not carry it all"
    assert not short.refused, "but nothing is refused for what has not happened"


def test_what_is_cheapest_to_refuse_is_refused_first() -> None:
    edge = fleet()[:4]
    gold = RequestClass("gold", 300.0, 0.1, shed_price=2.0)
    bulk = RequestClass("bulk", 200.0, None, shed_price=0.1)
    table = next_table(edge, [gold, bulk], ALONE)
    assert list(table.refused) == ["bulk"]
    assert table.certificate.binding.endswith("of class bulk at 0.1 each")
    assert table.certificate.gap < 1e-3
    assert next_table([], [gold], ALONE).refused == {"gold": 1.0}


def test_motion_is_bounded_and_safety_is_not() -> None:
    terms = Terms(absorb_loss=False, motion=0.1, explore=0.0)
    first = next_table(fleet(), [TIGHT], terms)
    cheap = [*fleet(), Backend("new", 1000.0, 1e-7, latency=QUICK)]
    second = next_table(cheap, [TIGHT], terms, first)
    assert second.share("tight", "new") == pytest.approx(0.05, abs=1e-3), "L1 counts both ends"
    assert not second.safety
    warned = [msgspec.structs.replace(one, draining=one.name == "north1") for one in cheap]
    third = next_table(warned, [TIGHT], terms, second)
    assert third.share("tight", "north1") == 0.0
    assert third.safety


@given(st.lists(st.floats(-4e-4, 4e-4), min_size=5, max_size=5), st.integers(0, 2**32))
@often
def test_noise_below_the_hysteresis_moves_nothing(noise: list[float], seed: int) -> None:
    terms = Terms(absorb_loss=False, hysteresis=0.01)
    before = next_table(fleet(), [TIGHT, LOOSE], terms)
    noisy = [
        msgspec.structs.replace(one, marginal_cost=one.marginal_cost * (1.0 + part))
        for one, part in zip(fleet(), noise, strict=True)
    ]
    after = next_table(noisy, [TIGHT, LOOSE], terms, before)
    assert after.held
    assert after.weights == before.weights


def test_mixtures_reach_what_single_backends_do_not() -> None:
    """A slow cheap backend may serve a part, as long as the whole keeps the promise."""
    cheap = Backend("cheap", 1000.0, 1e-7, latency=Histogram(pools.BOUNDS, (0, 900_000, 0, 0, 0, 100_000)))
    sure = Backend("sure", 1000.0, 1e-5, latency=Histogram(pools.BOUNDS, (1_000_000, 0, 0, 0, 0, 0)))
    wanted = [RequestClass("p", 100.0, 0.05)]
    alone = next_table([cheap, sure], wanted, ALONE)
    assert alone.share("p", "cheap") == 0.0
    mixed = next_table([cheap, sure], wanted, msgspec.structs.replace(ALONE, mixture=True))
    # Half of 10 % slow is 5 %, less the margin of a million observations.
    assert mixed.share("p", "cheap") == pytest.approx(0.48, abs=0.01)
    assert mixed.certificate.promise_prices["p"] > 0.0
    assert "the promise of class p binds" in mixed.reason
    assert mixed.certificate.gap < 0.01


def test_the_checker_finds_what_is_wrong() -> None:
    wanted = [TIGHT, LOOSE]
    good = next_table(fleet(), wanted, ALONE)

    def said(table: Table, known: list[Backend] | None = None) -> str:
        return "\n".join(faults(table, known or fleet(), wanted, ALONE))

    replace = msgspec.structs.replace
    all_on = {"tight": {"lambda": good.parts}, "loose": good.weights["loose"]}
    assert "lambda is too slow for class tight" in said(replace(good, weights=all_on))
    one = {"tight": {"north1": good.parts}, "loose": good.weights["loose"]}
    assert "north1 would get" in said(replace(good, weights=one))
    assert "sum to" in said(replace(good, parts=good.parts + 1))
    assert "is not known" in said(good, fleet()[1:])
    assert "may ask for" in said(replace(good, planned_rps={"tight": 100.0, "loose": 1.0}))
    assert "may be lost" in said(replace(good, absorbs_loss=True)) or "is over its capacity" in said(
        replace(good, absorbs_loss=True)
    )
    proof = good.certificate
    assert "the table costs" in said(replace(good, certificate=replace(proof, cost=proof.cost * 0.99)))
    bragging = replace(proof, lower_bound=proof.lower_bound * 1.01)
    assert "its prices prove" in said(replace(good, certificate=bragging))
    draining = [replace(backend, draining=backend.name == "north1") for backend in fleet()]
    assert "can be relied on for 0" in said(good, draining)
    weaker = fleet(north1=50.0)
    assert "can be relied on for" in said(good, weaker)


@given(pools.backends(), pools.classes(), pools.terms(), st.floats(0.0, 4.0))
@often
def test_what_backends_can_take_is_never_passed_while_others_have_room(
    fleet: list[Backend], asked: list[RequestClass], terms: Terms, surge: float
) -> None:
    """No request is lost, and a backend is over only when its class has no room left."""
    table = next_table(fleet, asked, terms)
    shares = np.array([[table.share(one.name, backend.name) for one in asked] for backend in fleet])
    shares = shares.reshape(len(fleet), len(asked))
    offered = shares * np.array([one.rate_rps * surge for one in asked])[None, :]
    most = np.array([table.most_rps.get(backend.name, 0.0) for backend in fleet])
    loads = spilled(offered, shares, most)
    assert np.allclose(loads.sum(axis=0), offered.sum(axis=0), rtol=1e-6, atol=1e-9)
    assert np.all(loads >= -1e-9)
    assert np.all((loads <= 1e-9) | (shares > 0.0)), "nobody serves a class that it has no weight in"
    total = loads.sum(axis=1)
    over = total > most * (1.0 + 1e-6) + 1e-9
    room = (most - total) > 1e-6 * np.maximum(most, 1.0)
    for k in range(len(asked)):
        if np.any(over & (loads[:, k] > 1e-6)):
            assert not np.any(room & (shares[:, k] > 0.0))


def test_a_rise_goes_to_the_others_by_their_weights() -> None:
    shares = np.array([[0.6], [0.3], [0.1]])
    loads = spilled(200.0 * shares, shares, np.array([60.0, 100.0, 100.0]))
    assert loads[:, 0] == pytest.approx([60.0, 100.0, 40.0])


def test_requests_in_flight_are_rate_times_wait_split_by_class_with_room_for_chance() -> None:
    waits = Histogram((0.1, 0.5), (100, 0, 0))  # all within 0.1 s
    fleet = [
        Backend("board", 100.0, 1e-6, latency=waits),
        Backend("blind", 100.0, 1e-6),
        Backend("cloud", 1e4, 1e-5, kind="lambda", latency=waits),
    ]
    asked = [RequestClass("p", 60.0, None), RequestClass("q", 20.0, None)]
    terms = Terms(fill=1.0, capacity_loss_per_s=0.0, absorb_loss=False, explore=0.0, spread=0.0)
    table = next_table(fleet[:1] + fleet[2:], asked, terms)
    held = in_flight(table, fleet)
    # 100 rps for 0.1 s are 10 in flight: 7.5 and 2.5 by class, and 3 roots of those on top.
    assert held == {"p": {"board": 16}, "q": {"board": 8}}
