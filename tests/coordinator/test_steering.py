"""Steering: from facts and orders to a table that passes the checker, and to what the wire says of it."""

import asyncio
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.costing import source
from tests.pools import BOUNDS, LATENCIES, backends, classes, terms
from tests.sealing import FLEETS_KEY
from tests.steered import POLICIES, steering_of
from tests.world import HandClock, Mosquitto, until

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.checker import faults
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.steering import edge, vectors
from tidewatt_coordinator.steering.choosing import Chosen, Facts, NobodyYet, NoTable, choose
from tidewatt_coordinator.steering.demand import Demand, classes_of, whole
from tidewatt_coordinator.steering.edge import Known
from tidewatt_coordinator.steering.explaining import explain
from tidewatt_coordinator.steering.orders import Kind, Order
from tidewatt_coordinator.steering.pools import priced
from tidewatt_coordinator.steering.publishing import message
from tidewatt_coordinator.steering.readings import Reading, Readings
from tidewatt_coordinator.steering.settings import Class, Dispatch, Pool, wrong_dispatch
from tidewatt_governor.boards import BoardProfile
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import Birth, DispatchTable, Policy

PLAIN = Terms(absorb_loss=False)
CHEAP = Backend(name="cheap", usable_rps=200.0, marginal_cost=1e-6, latency=LATENCIES[0])
DEAR = Backend(name="dear", usable_rps=500.0, marginal_cost=5e-6, kind="spot", latency=LATENCIES[0])
many = settings(max_examples=150)


def an_order(kind: Kind, **rest: Any) -> Order:
    known: dict[str, Any] = {"id": kind, "by": "ana", "why": "", "made_ms": 0, "until_ms": 10_000}
    return Order(kind=kind, **known | rest)


def facts(*orders: Order, rps: float = 100.0, **rest: Any) -> Facts:
    known: dict[str, Any] = {"backends": [CHEAP, DEAR], "classes": [RequestClass("all", rps)], "terms": PLAIN}
    return Facts(**known | rest, orders=list(orders))


def sent(chosen: Chosen, asked: list[RequestClass]) -> DispatchTable:
    return message(chosen, asked, fleet="f", epoch=1, now_ms=0, valid_ms=1000, currency="USD")


orders = st.lists(
    st.builds(
        Order,
        id=st.uuids().map(str),
        kind=st.sampled_from(["freeze", "weights", "drain", "interruption"]),
        by=st.just("ana"),
        why=st.just(""),
        made_ms=st.integers(0, 5),
        until_ms=st.just(10),
        backend=st.from_regex("[a-z]{1,5}", fullmatch=True),
        request_class=st.sampled_from(["", "p", "q"]),
        weights=st.dictionaries(
            st.from_regex("[a-z]{1,5}", fullmatch=True), st.floats(0.0, 10.0), max_size=3
        ),
    ),
    max_size=3,
)


@many
@given(some=backends(), asked=classes(), kept=terms(), ordered=orders, data=st.data())
def test_whatever_is_ordered_a_table_passes_the_checker(
    some: list[Backend], asked: list[RequestClass], kept: Terms, ordered: list[Order], data: st.DataObject
) -> None:
    names = [one.name for one in some]
    if names:  # orders about what is there, too
        ordered = [
            replace(
                one,
                backend=data.draw(st.sampled_from(names)),
                weights={data.draw(st.sampled_from(names)): 1.0},
            )
            for one in ordered
        ]
    unknown = [one.name for one in asked if data.draw(st.booleans())][:1]
    here = Facts(backends=some, classes=asked, terms=kept, unknown=unknown, orders=ordered)
    try:
        before = choose(replace(here, orders=[]), None, 120.0)
        chosen = choose(here, before.table, 120.0)
    except NoTable as error:
        able = [one for one in some if one.usable_rps > 0 and one.age_s <= kept.expire_s]
        assert not able, error  # noqa: PT017 - both ways are good
        return
    assert not faults(chosen.table, chosen.shown, asked, kept, before.table)
    draining = {one.name for one in chosen.shown if one.draining}
    assert not draining & {name for one in chosen.table.weights.values() for name in one}
    table = sent(chosen, asked)
    assert decode(DispatchTable, encode(table)) == table
    for one in table.classes:
        refused = chosen.table.refused.get(one.name, 0.0)
        total = sum(one.weights.values()) + one.shed
        assert total > 0
        assert one.shed / total >= refused - 1e-9, "never more is served than was planned"
    assert not draining & {name for one in table.safe for name in one.weights}
    assert list(explain(chosen.table, chosen.shown, asked, kept, "USD"))


def test_an_interruption_takes_everything_at_once_and_the_table_says_so() -> None:
    before = choose(facts(rps=300.0), None, 120.0)
    assert before.table.share("all", "dear") > 0
    order = an_order("interruption", backend="dear", why="spot interruption warning")
    after = choose(facts(order, rps=300.0), before.table, 120.0)
    assert after.table.weights["all"] == {"cheap": after.table.parts}
    assert after.table.refused["all"] > 0
    assert (
        "dear gets nothing until 1970-01-01 00:00:10Z: spot interruption warning"
        in sent(after, facts().classes).reason
    )
    (only,) = sent(after, facts().classes).classes
    assert only.shed > 0, "with something refused the class is named even if it is the only one"
    assert "dear" not in {name for one in sent(after, facts().classes).safe for name in one.weights}


def test_a_freeze_holds_the_weights_until_that_is_not_safe() -> None:
    before = choose(facts(rps=100.0), None, 120.0)
    freeze = an_order("freeze", why="release")
    more = choose(facts(freeze, rps=150.0), before.table, 120.0)
    assert more.table.weights == before.table.weights
    assert more.notes == ["frozen by ana until 1970-01-01 00:00:10Z (release)"]
    flood = choose(facts(freeze, rps=400.0), before.table, 120.0)
    assert flood.table.share("all", "dear") > 0.3
    assert flood.notes[0].startswith("set aside: frozen by ana until")
    assert "cheap would get" in flood.notes[0]


def test_given_weights_are_followed_and_what_they_cost_is_in_the_gap() -> None:
    order = an_order("weights", request_class="a", weights={"cheap": 1, "dear": 3})
    asked = [RequestClass("a", 50.0), RequestClass("b", 100.0)]
    chosen = choose(facts(order, classes=asked), None, 120.0)
    assert chosen.table.share("a", "dear") == 0.75
    assert chosen.table.share("b", "cheap") > 0.99, "the others get the cheapest of what is left"
    assert chosen.table.certificate.gap > 1.0
    free = choose(facts(classes=asked), None, 120.0)
    assert free.table.certificate.gap < 0.01
    gone = choose(facts(an_order("weights", weights={"gone": 1}), classes=asked), None, 120.0)
    assert gone.table.weights == free.table.weights


def test_without_a_rate_capacity_decides() -> None:
    chosen = choose(facts(rps=0.0, unknown=["all"]), None, 120.0)
    assert chosen.table.share("all", "cheap") == pytest.approx(2 / 7, abs=1e-3)
    assert "nobody knows the rate of class all" in chosen.notes[0]


def test_where_nobody_can_serve_there_is_no_table() -> None:
    with pytest.raises(NobodyYet):
        choose(facts(backends=[]), None, 120.0)
    with pytest.raises(NoTable, match="no backend is able"):
        choose(facts(backends=[replace(CHEAP, age_s=1000.0)]), None, 120.0)
    with pytest.raises(NoTable, match="two backends are called cheap"):
        choose(facts(backends=[CHEAP, CHEAP]), None, 120.0)


def test_the_safe_half_refuses_nobody() -> None:
    asked = facts(rps=560.0)
    chosen = choose(asked, None, 120.0)
    assert not chosen.table.refused
    table = sent(chosen, asked.classes)
    assert table.classes == []
    (safe,) = table.safe
    assert safe.name == "all"
    assert safe.shed == 0
    assert safe.weights["dear"] / sum(safe.weights.values()) == pytest.approx(5 / 7, abs=1e-3)


def test_costs_are_by_the_hour_on_the_wire() -> None:
    chosen = choose(facts(), None, 120.0)
    proof = sent(chosen, facts().classes).certificate
    assert proof
    assert proof.cost_per_hour == pytest.approx(chosen.table.certificate.cost * 3600)
    assert proof.currency == "USD"


def test_it_is_explained() -> None:
    tight = RequestClass("tight", 50.0, limit_s=BOUNDS[0])
    slow = replace(DEAR, name="slow", latency=LATENCIES[2])
    old = replace(DEAR, name="old", age_s=100.0)
    chosen = choose(facts(backends=[CHEAP, slow, old], classes=[tight]), None, 120.0)
    said = " ".join(explain(chosen.table, chosen.shown, [tight], PLAIN, "USD"))
    assert "Class tight, 95.0% within 10 ms: measured 50.0 rps 0 s ago, planned for 50.5 rps." in said
    assert "cheap gets 100.00% of tight at 1.0000 USD a million" in said
    assert "slow gets nothing of tight: it can't keep the promise" in said
    assert "old gets nothing of tight: nothing was heard of it for 100 s" in said


def test_pools_are_priced_by_the_book() -> None:
    book, day = load_book(), date(2026, 11, 20)
    nodes = Pool(name="n", kind="on_demand", capacity_rps=100, instance="c5.large", node_rps=50)
    assert priced(nodes, book, day).request == pytest.approx(0.085 / 3600 / 50)
    spot = priced(replace(nodes, kind="spot"), book, day)
    assert spot.request == pytest.approx(0.3 * 0.085 / 3600 / 50)
    assert spot.byte == pytest.approx(0.09e-9)
    assert spot.currency == "USD"
    function = Pool(name="l", kind="lambda", capacity_rps=100, memory_mb=1024, billed_ms=100)
    assert priced(function, book, day).request == pytest.approx(0.2e-6 + 0.1 * 0.0000166667)
    own = Pool(name="h", kind="http", capacity_rps=1, cost_per_million=Decimal("2.5"))
    assert priced(own, book, day).request == 2.5e-6
    assert (priced(own, book, day).byte, priced(own, book, day).currency) == (0.0, "")


def known(profile: BoardProfile, name: str, age_s: float = 0.0, **labels: str) -> Known:
    birth = Birth(
        device=name, session="s", epoch="e", at_ms=0, version="0", board="b", control="enforce",
        labels=labels, points=profile.points,
    )  # fmt: skip
    return Known(name, birth, Policy(), age_s)


def test_devices_and_sites_are_backends(profile: BoardProfile) -> None:
    fleet = [
        known(profile, "a", 3.0, site="roof", region="eu"),
        known(profile, "b", 9.0, site="roof", region="eu"),
    ]
    one, _ = edge.devices(fleet, 0.15, 0.85)
    (roof,) = edge.sites(fleet, 0.15, 0.85)
    assert (roof.name, roof.domain, roof.age_s, roof.regions) == ("roof", "roof", 9.0, frozenset({"eu"}))
    assert roof.usable_rps == pytest.approx(2 * one.usable_rps)
    assert roof.marginal_cost == pytest.approx(one.marginal_cost)
    assert one.latency
    keeps = choose(
        Facts(
            backends=[one],
            classes=[RequestClass("all", 50.0, limit_s=Policy().slo_p95_ms / 1000)],
            terms=PLAIN,
        ),
        None,
        120.0,
    )
    assert not keeps.table.refused, "a device keeps the promise that its capacity is reckoned by"
    (nowhere,) = edge.sites([known(profile, "c")], 0.15, 0.85)
    assert nowhere.name == "edge"


def test_all_demand_is_told_from_what_the_edge_serves() -> None:
    assert whole(60.0, None, None, 5) == Demand(60.0, 5)
    assert whole(60.0, 0.6, None, 5) == Demand(100.0, 5)
    before = Demand(80.0, 1)
    assert whole(1.0, 0.001, before, 5) == before, "too little is seen of it"
    assert whole(None, 0.6, before, 5) == before


def test_rates_are_measured_or_shares_and_what_is_not_known_is_said() -> None:
    asked = [
        Class(name="measured", rate_query="r", forecast_query="f"),
        Class(name="part", share=0.25),
        Class(name="rest"),
        Class(name="never", rate_query="n"),
        Class(name="expected", rate_query="n", expected_rps=7.0),
    ]
    answers = {"r": (40.0, 3.0), "f": (90.0, 3.0)}
    found, unknown = classes_of(asked, Demand(100.0, 1000), answers.get, 5000)
    assert [(one.name, one.rate_rps, one.age_s) for one in found] == [
        ("measured", 40.0, 3.0),
        ("part", 25.0, 4.0),
        ("rest", 75.0, 4.0),
        ("never", 0.0, 0.0),
        ("expected", 7.0, 0.0),
    ]
    assert found[0].forecast_rps == 90.0
    assert unknown == ["never"]


def test_answers_of_prometheus() -> None:
    def vector(*samples: tuple[str, str]) -> bytes:
        rows = ",".join(f'{{"metric":{{"le":"{le}"}},"value":[1,"{value}"]}}' for le, value in samples)
        return f'{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}'.encode()

    assert vectors.number(vectors.parse(vector(("a", "1.5"), ("b", "2")))) == 3.5
    assert vectors.number(vectors.parse(vector(("a", "NaN")))) is None
    assert vectors.number(vectors.parse(vector())) is None
    scalar = b'{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}'
    assert vectors.number(vectors.parse(scalar)) == 7.0
    found = vectors.histogram(vectors.parse(vector(("0.1", "50"), ("0.5", "90"), ("+Inf", "100"))))
    assert found
    assert (found.bounds_s, found.counts) == ((0.1, 0.5), (50, 40, 10))
    for wrong in (b"", b"[]", b'{"status":"error","error":"no"}', vector(("a", "x"))):
        with pytest.raises(vectors.VectorError):
            vectors.parse(wrong)


@many
@given(body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    try:
        vectors.histogram(vectors.parse(body))
    except vectors.VectorError:
        return


@many
@given(
    samples=st.lists(
        st.tuples(
            st.dictionaries(st.just("le"), st.sampled_from(["0.1", "1", "+Inf", "x", "-1", "NaN", ""])),
            st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
def test_any_buckets_are_a_histogram_or_none(samples: vectors.Vector) -> None:
    found = vectors.histogram(samples)
    assert found is None or sum(found.counts) > 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Dispatch(pools=[Pool(name="p", kind="spot", capacity_rps=1)]), "needs instance and node_rps"),
        (Dispatch(pools=[Pool(name="p", kind="lambda", capacity_rps=1)]), "needs billed_ms"),
        (Dispatch(pools=[Pool(name="p", kind="http", cost_per_million=Decimal(1))]), "capacity_rps or"),
        (Dispatch(pools=[Pool(name="p", kind="http", capacity_rps=1)]), "needs cost_per_million"),
        (Dispatch(classes=[Class(name="a"), Class(name="a")]), "'a' is there twice"),
        (Dispatch(classes=[Class(name="a", share=0.7), Class(name="b", share=0.7)]), "sum to 1.4"),
        (Dispatch(classes=[Class(name="a", rate_query="up")]), "set dispatch.prometheus"),
        (Dispatch(every_s=300.0), "no longer than every_s"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(wrong: Dispatch, sentence: str) -> None:
    assert sentence in next(wrong_dispatch(wrong))


def test_readings_are_as_old_as_they_are(clock: HandClock) -> None:
    pool = Pool(name="p", kind="http", capacity_query="c", cost_per_million=Decimal(1))
    readings = {"c": Reading([({}, 40.0)], clock.now_ms())}
    prices = {"p": priced(pool, load_book(), date(2026, 11, 20))}
    steering = steering_of(Fleet(60_000), clock, Dispatch(pools=[pool]), readings=readings, prices=prices)
    clock.move(30.0)
    (backend,) = steering.make().kept.facts.backends
    assert (backend.usable_rps, backend.age_s) == (40.0, 30.0)
    clock.move(60.0)
    with pytest.raises(NoTable):
        steering.make()


def test_one_that_comes_back_among_its_equals_gets_its_share_again() -> None:
    twin = replace(CHEAP, name="twin")
    table = choose(facts(backends=[CHEAP]), None, 120.0).table
    shares = []
    for _ in range(8):
        table = choose(facts(backends=[CHEAP, twin]), table, 120.0).table
        shares.append(table.share("all", "twin"))
    assert shares == sorted(shares)
    assert shares[0] < 0.2, "bounded"
    assert shares[-1] > 0.44, "to within what is near enough"


async def test_queries_are_asked_in_the_background(
    clock: HandClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with source() as server:
        rate = {
            "status": "success",
            "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "9"]}]},
        }
        server.answers["/api/v1/query"] = lambda asked: rate if asked["query"] == "rate" else b"nonsense"
        asked = [Class(name="a", rate_query="rate"), Class(name="b", rate_query="wrong")]
        wanted = Dispatch(classes=asked, prometheus=server.url, token_file=str(token))
        readings, calls = Readings(wanted, clock), list[int]()
        running = asyncio.create_task(readings.run(lambda: calls.append(1)))
        await until(lambda: calls)
        assert readings.last == {"rate": Reading([({}, 9.0)], clock.now_ms())}
        assert list(readings.failing) == ["wrong"]
        assert set(server.authorizations) == {"Bearer secret"}
        server.answers["/api/v1/query"] = rate
        await until(lambda: "wrong" in readings.last)
        await until(lambda: not readings.failing)
        await ended(running)
    assert caplog.text.count("wrong: no answer of Prometheus") == 1
    assert caplog.text.count("wrong: is answered again") == 1


async def test_a_table_that_is_too_long_says_what_to_do(
    mosquitto: Mosquitto, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(name="p", kind="http", capacity_rps=100, cost_per_million=Decimal(1))
    prices = {"p": priced(pool, load_book(), date(2026, 11, 20))}
    wanted = Dispatch(
        pools=[pool],
        classes=[Class(name=f"{place:060}", expected_rps=1) for place in range(5)],
        most_bytes=1024,
    )
    steering = steering_of(Fleet(60_000), clock, wanted, prices=prices)
    publisher = Publisher(
        Connection(mosquitto.url), lambda: POLICIES, steering, clock, signers=lambda: [FLEETS_KEY]
    )
    running = asyncio.create_task(publisher.run())
    await until(lambda: steering.obstacle)
    await ended(running)
    assert "a table of 1 backends and 5 classes has" in steering.obstacle
    assert 'dispatch.backends = "sites" makes one backend of each site' in caplog.text
    assert publisher.table is None
