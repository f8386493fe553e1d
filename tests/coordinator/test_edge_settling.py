"""Edge charges kept in the ledger: the same whatever came when, in whose hands, and where it broke off."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.daily import daily_costs
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.electricity import settled
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.electricity.edge import edge_charges
from tidewatt_coordinator.electricity.settling import GRACE_MS, Settling
from tidewatt_coordinator.ledger import store
from tidewatt_coordinator.ledger.daybook import place
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import metadata
from tidewatt_coordinator.money import total
from tidewatt_coordinator.questions import reading
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import Counters, Gauges, Report

BUCKET = 300_000
#: 2026-10-31 20:00 UTC: three hours before Berlin's November begins, four before UTC's does.
START = 1_793_476_800_000
NOW_MS = START + DAY_MS
Url = Callable[[], str]
TARIFF = """
name = "{name}"
currency = "EUR"
price_per_kwh = "{price}"
valid_from = {since}
source = "a contract"
zone = "Europe/Berlin"
per_month = "31"
[[demand]]
price_per_kw = "10"
minutes = 60
"""
SITES = """
[[site]]
name = "berlin"
tariff = ["new.toml", "old.toml"]
connectivity_per_month = "62"
solar = "solar.csv"
"""


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    (tmp_path / "old.toml").write_text(TARIFF.format(name="old", price="0.20", since="2026-01-01"))
    (tmp_path / "new.toml").write_text(TARIFF.format(name="new", price="0.30", since="2026-11-01"))
    (tmp_path / "solar.csv").write_text("start,kwh\n2026-10-31T21:00Z,0.001\n")
    (tmp_path / "sites.toml").write_text(SITES)
    return tmp_path / "sites.toml"


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    ledger = Ledger(url, BUCKET)
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def shared(new_ledger_url: Url) -> Iterator[Ledger]:
    with opened(new_ledger_url()) as ledger:
        yield ledger


def emptied(ledger: Ledger) -> Ledger:
    """Without a row but for the facts and two known devices: an example needs no database of its own."""
    known_device = metadata.tables["known_device"]
    known: dict[str, str | int] = {"fleet": "f", "status": "online", "ack": "", "code": "", "reason": ""}
    with ledger.engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name not in {"ledger_fact", "audit_entry", "audit_head"}:
                connection.execute(delete(table))
        for device, labels in (("a", '{"site": "berlin"}'), ("b", "{}")):
            row = {**known, "device": device, "labels": labels, "revision": 0, "seen_ms": 0}
            connection.execute(insert(known_device).values(row))
    place(ledger, {"a": "berlin", "b": ""})
    return ledger


def report(device: str, epoch: str, seq: int, at_ms: int, energy_mj: int) -> Report:
    counters = Counters(energy_mj=energy_mj, mode_ms={"15W": seq})
    return Report(
        device=device, session="s", epoch=epoch, seq=seq, at_ms=at_ms, counters=counters, gauges=Gauges()
    )


def some(device: str = "a", hours: int = 4) -> list[Report]:
    """15 W for some hours."""
    return [
        report(device, "1", n, START + n * BUCKET, n * BUCKET * 15) for n in range(hours * HOUR_MS // BUCKET)
    ]


@st.composite
def streams(draw: st.DrawFn) -> list[Report]:
    reports = []
    for device, epoch in (("a", "1"), ("a", "2"), ("b", "1")):
        at_ms, energy_mj = START + draw(st.integers(0, HOUR_MS)), 0
        for seq in range(draw(st.integers(0, 6))):
            energy_mj += draw(st.integers(0, 10**8))
            reports.append(report(device, epoch, seq, at_ms, energy_mj))
            at_ms += draw(st.sampled_from([7_001, BUCKET, 1_000_003, HOUR_MS, 3 * HOUR_MS]))
    return reports


def settling(ledger: Ledger, sites: Path, now_ms: int = NOW_MS) -> Settling:
    return Settling(ledger, lambda: now_ms, fleet="f", sites=str(sites), tariff="")


def settle(ledger: Ledger, sites: Path, now_ms: int = NOW_MS) -> None:
    one = settling(ledger, sites, now_ms)
    while one.round():
        pass


def kept(ledger: Ledger) -> list[Charge]:
    return sorted(Charges(ledger.engine).read(0, 2**62, ["edge"]), key=lambda charge: charge.key)


def test_energy_asleep_is_a_charge_of_its_own_marked_estimated(shared: Ledger, sites: Path) -> None:
    emptied(shared)
    shared.take(some("a"))
    roll_up(shared)
    settle(shared, sites, NOW_MS)
    before = [one for one in kept(shared) if one.resource == "a"]
    last = some("a")[-1]
    counters = Counters(
        energy_mj=last.counters.energy_mj + 1, asleep_mj=7_200_000, mode_ms={"15W": 99, "asleep": 14_400_000}
    )
    late = msgspec.structs.replace(last, seq=99, at_ms=START + 5 * HOUR_MS, counters=counters)
    for _ in range(2):  # told twice is told once
        shared.take([late])
        roll_up(shared)
        settle(shared, sites, NOW_MS)
    after = [one for one in kept(shared) if one.resource == "a"]
    (estimated,) = (one for one in after if "asleep" in one.key)
    assert estimated.description.startswith("asleep, estimated")
    assert estimated.quantity == Decimal("0.002")
    assert estimated.billed == Decimal("0.002") * Decimal("0.30")
    assert estimated.effective == estimated.billed
    grown = [sum(one.quantity or 0 for one in some) for some in (before, after)]
    assert grown[1] - grown[0] == pytest.approx(Decimal("0.002"), abs=Decimal("1e-9"))


def at_once(ledger: Ledger, sites: Path) -> list[Charge]:
    """All charges till now by one straight reckoning over all hours."""
    table = metadata.tables["hour_version"]
    with ledger.engine.connect() as connection:
        hours = list(connection.execute(select(table.c.hour_ms)).scalars())
    if not hours:
        return []
    end = NOW_MS - GRACE_MS
    made = edge_charges(ledger, min(hours), end - end % HOUR_MS, fleet="f", sites=str(sites), tariff="")
    return sorted(made, key=lambda charge: charge.key)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stream=streams(), seed=st.integers(0, 999), steps=st.integers(1, 4))
def test_any_order_and_any_steps_give_the_identical_charges(
    shared: Ledger, sites: Path, stream: list[Report], seed: int, steps: int
) -> None:
    ledger = emptied(shared)
    shuffled = stream * 2
    random.Random(seed).shuffle(shuffled)
    for step in range(steps):
        ledger.take(shuffled[step::steps])
        roll_up(ledger)
        settle(ledger, sites, START + (step + 1) * DAY_MS // steps)
    assert kept(ledger) == at_once(ledger, sites)
    sums = settled.energy_costs(ledger)
    assert sum(mj for mj, _ in sums.values()) == sum(one.values[0] for one in ledger.totals())
    paid = [one.billed for one in kept(ledger) if one.unit == "kWh" and one.kind == "Usage"]
    assert total([cost for _, cost in sums.values()]) == total(paid)
    assert settling(ledger, sites).round() == 0, "nothing is done twice"


def test_by_several_at_once_each_hour_is_there_once(new_ledger_url: Url, sites: Path) -> None:
    url = new_ledger_url()
    with opened(url) as one, opened(url) as other:
        emptied(one)
        for end in (20, 48):
            one.take(some()[:end])
            roll_up(one)
            rounds = [threading.Thread(target=settle, args=(ledger, sites)) for ledger in (one, other)]
            for thread in rounds:
                thread.start()
            for thread in rounds:
                thread.join()
        settle(one, sites)
        assert kept(one) == at_once(one, sites)


def test_an_hour_is_kept_when_it_is_closed(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    ledger.take(some())
    roll_up(ledger)
    settle(ledger, sites, START + HOUR_MS + GRACE_MS - 1)
    assert kept(ledger) == []
    settle(ledger, sites, START + HOUR_MS + GRACE_MS)
    assert {one.start_ms for one in kept(ledger) if one.unit != "kW"} == {START}


def test_an_open_days_charges_grow_in_their_places(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    ledger.take(some())
    roll_up(ledger)
    energy = []
    for hours in (1, 2, 3):
        settle(ledger, sites, START + hours * HOUR_MS + GRACE_MS)
        (one,) = (one for one in kept(ledger) if one.unit == "kWh")
        assert (one.start_ms, one.end_ms) == (START, START + hours * HOUR_MS)
        energy.append(one.quantity)
    assert energy == [Decimal("0.015") * hours for hours in (1, 2, 3)]
    # A coordinator whose clock is behind leaves what another has closed.
    settle(ledger, sites, START + HOUR_MS + GRACE_MS)
    assert [one.quantity for one in kept(ledger) if one.unit == "kWh"] == energy[-1:]


def test_what_is_kept_is_what_questions_budgets_and_the_page_find(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    for reports in (some(hours=6), some("b", 5)):
        ledger.take(reports)
        roll_up(ledger)
        settle(ledger, sites)
        whole = Window(START - START % DAY_MS, START - START % DAY_MS + 3 * DAY_MS)
        mine = [one for one in kept(ledger) if one.end_ms - one.start_ms <= DAY_MS]
        paid = {
            one.currency: total([it.billed for it in mine if it.currency == one.currency]) for one in mine
        }
        services = [ELECTRICITY, "Edge Connectivity", "Edge Hardware", "Edge Support"]
        for by in ([], ["site"], ["device"], ["tag:device", "day"]):
            within_days = reading.costs(ledger, whole, ["edge"], [*by, "unit"], services)
            assert {one.currency for one in within_days} == set(paid)
            for currency, amount in paid.items():
                sums = [one.billed for one in within_days if one.currency == currency and one.key[-1] != "kW"]
                assert total(sums) == amount, by
        days = daily_costs(ledger.engine, whole, ["edge"], ["site"])
        assert total([one.billed for one in days if not one.spread]) == total(list(paid.values()))


def test_what_was_reckoned_from_old_numbers_is_not_kept(shared: Ledger) -> None:
    ledger = emptied(shared)
    ledger.take(some())
    roll_up(ledger)
    first = settled.due(ledger, NOW_MS, 100)[-1]
    ledger.take([report("b", "1", 1, START + 1, 10**9)])
    roll_up(ledger)
    assert not settled.keep_day(ledger, first, "", [], [], NOW_MS)
    now = msgspec.structs.replace(first, versions=first.versions + 1)
    assert settled.keep_day(ledger, now, "", [], [], NOW_MS)


def test_a_device_that_turns_out_to_be_elsewhere_pays_once(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    ledger.take(some("b"))
    roll_up(ledger)
    settle(ledger, sites)
    assert {one.region for one in kept(ledger) if one.resource == "b"} == {""}
    place(ledger, {"b": "berlin"})
    settle(ledger, sites)
    # Under the old tariff until 23:00, and under the new one.
    mine = [one for one in kept(ledger) if one.resource == "b"]
    assert ({one.region for one in mine}, len(mine)) == ({"berlin"}, 2)


def test_new_terms_have_the_days_worked_out_again_that_they_touch(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    ledger.take(some(hours=6))
    roll_up(ledger)
    settle(ledger, sites)
    before = {one.key: one for one in kept(ledger)}
    solar = sites.parent / "solar.csv"
    solar.write_text(solar.read_text() + "2026-10-31T22:00Z,0.0075\n")
    settle(ledger, sites)
    after = {one.key: one for one in kept(ledger)}
    changed = {one.start_ms for one in after.values() if one.billed != before[one.key].billed}
    assert {start for start in changed if start >= START} == {START}
    mark = metadata.tables["edge_settled"].c
    with ledger.engine.connect() as connection:
        often = connection.execute(select(mark.times).order_by(mark.day_ms)).scalars().all()
    assert often == [2, 1]
    assert list(after.values()) == at_once(ledger, sites)


def test_charges_by_the_hour_of_an_older_ledger_are_replaced(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    ledger.take(some(hours=6))
    roll_up(ledger)
    settle(ledger, sites)
    expected = kept(ledger)
    migrations = AlembicConfig()
    migrations.set_main_option("script_location", str(Path(store.__file__).with_name("migrations")))
    at_first = msgspec.structs.replace(expected[0], start_ms=START, end_ms=START + HOUR_MS)
    rows = [
        msgspec.structs.replace(at_first, key=f"berlin/a/Edge Electricity//{START + hour * HOUR_MS}")
        for hour in range(4)
    ]
    with ledger.engine.begin() as connection:
        migrations.attributes["connection"] = connection
        command.downgrade(migrations, "0013")
    for hour, one in enumerate(rows):
        Charges(ledger.engine).replace("edge", [], [(f"hour/{START + hour * HOUR_MS}", one)], 1)
    with ledger.engine.begin() as connection:
        migrations.attributes["connection"] = connection
        command.upgrade(migrations, "head")
    settle(ledger, sites)
    assert kept(ledger) == expected


def test_a_broken_file_is_one_sentence_and_harms_nothing(shared: Ledger, sites: Path) -> None:
    ledger = emptied(shared)
    ledger.take(some())
    roll_up(ledger)
    whole = sites.read_text()
    sites.write_text(whole + "[[site")
    with pytest.raises(DocumentError, match=r"sites\.toml"):
        settling(ledger, sites).round()
    sites.write_text(whole)
    settle(ledger, sites)
    assert kept(ledger) == at_once(ledger, sites)


def test_charges_that_lack_amounts_are_kept_by_both_databases(shared: Ledger) -> None:
    one = Charge(source="edge", key="k\t", start_ms=0, end_ms=1, billed=Decimal(1), effective=Decimal(2))
    assert settled.keep_day(shared, settled.Due(0, 0, DAY_MS, 0), "", [one], [], NOW_MS)
    assert kept(shared) == [one]
