"""The edge's charges: shares that add up, three kinds of cost never mixed, keys that correct."""

from collections import defaultdict
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.electricity.charges import DeviceHour, Place, accounts, electricity
from tidewatt_coordinator.electricity.edge import charges_of, device_hours, edge_charges
from tidewatt_coordinator.electricity.files import load_clockwork, load_places, load_sites
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.electricity.sites import Site
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import known_device
from tidewatt_coordinator.money import total
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import Counters, Gauges, Report

KWH = 3_600_000_000
DAY = (0, 24 * HOUR_MS)
TARIFF = """
name = "{name}"
currency = "EUR"
price_per_kwh = "{price}"
valid_from = {since}
source = "a contract"
zone = "Europe/Berlin"
per_month = "31"
export_per_kwh = "0.08"
"""
SITES = """
[[site]]
name = "berlin"
tariff = ["new.toml", "old.toml"]
connectivity_per_month = "62"
solar = "solar.csv"
[[hardware]]
name = "Orin Nano"
match = { board = "nano" }
price = "260"
residual = "20"
life_months = 24
bought = 2026-01-01
support_per_month = "3.10"
"""


def ms(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=timezone.utc).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    (tmp_path / "old.toml").write_text(TARIFF.format(name="old", price="0.20", since="2026-01-01"))
    (tmp_path / "new.toml").write_text(
        TARIFF.format(name="new", price="0.30", since="2026-10-10")
        + '[[demand]]\nprice_per_kw = "10"\nminutes = 60\n'
    )
    (tmp_path / "solar.csv").write_text("start,kwh\n2026-10-05T12:00Z,2\n2026-10-05T12:30Z,1\n")
    (tmp_path / "sites.toml").write_text(SITES)
    return tmp_path / "sites.toml"


LABELS = {
    "a": {"site": "berlin", "board": "nano"},
    "b": {"site": "berlin", "board": "agx"},
    "c": {},
}
#: October in Berlin: it has 745 hours, because the clocks go back.
OCTOBER = (ms(2026, 9, 30, 22), ms(2026, 10, 31, 23))


def by(charges: list[Charge], service: str, device: str | None = None) -> list[Charge]:
    return [one for one in charges if one.service == service and device in (None, one.resource)]


def test_a_month_of_a_site(sites: Path) -> None:
    places = load_places(str(sites), "", LABELS)
    assert [(place.site.name, place.clockwork.tariff.name) for place in places] == [
        ("berlin", "old"), ("berlin", "new"), ("", "flat")
    ]  # fmt: skip
    noon = ms(2026, 10, 5, 12)
    rows = [
        DeviceHour("a", ms(2026, 10, 5, 10), KWH),
        DeviceHour("b", ms(2026, 10, 5, 10), 2 * KWH),
        DeviceHour("a", noon, KWH),
        DeviceHour("a", ms(2026, 10, 9, 21), KWH),
        DeviceHour("a", ms(2026, 10, 9, 22), KWH),  # midnight in Berlin: the new tariff
        DeviceHour("b", ms(2026, 11, 2, 10), 7 * KWH),  # beyond the interval
        DeviceHour("c", ms(2026, 10, 5, 10), KWH),
    ]
    charges = list(charges_of(places, rows, LABELS, *OCTOBER))
    assert len({one.key for one in charges}) == len(charges)
    assert {one.currency for one in by(charges, "Edge Connectivity")} == {"EUR"}

    energy = {
        (one.resource, one.start_ms): one for one in by(charges, "Edge Electricity") if one.unit == "kWh"
    }
    fifth = ms(2026, 10, 5)
    assert energy["a", fifth].billed == energy["a", fifth].effective == Decimal("0.2"), "and nothing at noon"
    assert energy["a", fifth].quantity == 2
    assert energy["b", fifth].billed == Decimal("0.4")
    assert energy["b", fifth].quantity == 2
    assert energy["c", fifth].billed == Decimal("0.15"), "a site of no name pays the ledger's tariff"
    assert energy["c", fifth].currency == "USD"
    assert energy["b", fifth].marginal == Decimal("0.2"), "of one more kWh"
    assert energy["a", fifth].marginal == Decimal("0.14"), "at noon it would have been sold for 0.08"
    assert energy["", fifth].kind == "Credit"
    assert energy["", fifth].billed == Decimal("-0.16")
    assert energy["a", ms(2026, 10, 9)].billed == Decimal("0.2")
    assert energy["a", ms(2026, 10, 9)].end_ms == ms(2026, 10, 9, 22)
    assert energy["a", ms(2026, 10, 9, 22)].billed == Decimal("0.3")

    standing = [one for one in by(charges, "Edge Electricity") if one.description == "standing"]
    connectivity, support = by(charges, "Edge Connectivity"), by(charges, "Edge Support")
    # The month begins and ends within a day of UTC, and the tariff changes within one.
    assert (len(standing), len(connectivity), len(support)) == (33, 33, 33)
    for part, fee in ((standing, 31), (connectivity, 62), (support, Decimal("3.10"))):
        assert total([one.billed for one in part]) == fee
        assert {one.marginal for one in part} == {Decimal(0)}
        assert sum(one.quantity or 0 for one in part) == 745
    assert {one.resource for one in support} == {"a"}

    worn = by(charges, "Edge Hardware")
    assert {one.resource for one in worn} == {"a"}, "there is no hardware for the others"
    assert {one.billed for one in worn} == {Decimal(0)}, "it was paid when it was bought"
    assert round(total([one.effective for one in worn]), 2) == Decimal("10.21"), "745 of 17,520 hours of 240"


def test_demand_belongs_to_the_tariff_that_the_month_began_with(sites: Path) -> None:
    places = load_places(str(sites), "", LABELS)
    november = (ms(2026, 10, 31, 23), ms(2026, 11, 30, 23))
    rows = [DeviceHour("a", ms(2026, 11, 2, 10), 3 * KWH), DeviceHour("b", ms(2026, 11, 2, 10), 2 * KWH)]
    charges = [one for one in charges_of(places, rows, LABELS, *november) if one.unit == "kW"]
    assert [(one.billed, one.quantity, one.start_ms, one.end_ms) for one in charges] == [
        (Decimal(50), Decimal(5), *november)
    ]
    october = [DeviceHour("a", ms(2026, 10, 20), 3 * KWH)]
    assert [one for one in charges_of(places, october, LABELS, *OCTOBER) if one.unit == "kW"] == []


def test_the_write_off_of_a_life_is_the_price_less_the_residual(sites: Path) -> None:
    places = load_places(str(sites), "", {"a": LABELS["a"]})
    begin, end = ms(2025, 12, 31, 12), ms(2028, 1, 2)
    worn = by(list(charges_of(places, [], {}, begin, end)), "Edge Hardware")
    assert total([one.effective for one in worn]) == 240
    assert (worn[0].start_ms, worn[-1].end_ms) == (ms(2025, 12, 31, 23), ms(2027, 12, 31, 23))


@given(st.data())
@settings(max_examples=40)
def test_a_days_charges_are_the_sums_of_its_hours(data: st.DataObject) -> None:
    """Whatever is used when: a quarter-hour tariff with a change in the day, a plant, fees, hardware."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sites.toml"
        (file.parent / "new.toml").write_text(
            TARIFF.format(name="new", price="0.30", since="2026-10-10")
            + '[[window]]\nprice_per_kwh = "0.4101"\nfrom = "06:15"\nto = "09:45"\n'
        )
        (file.parent / "old.toml").write_text(TARIFF.format(name="old", price="0.20", since="2026-01-01"))
        (file.parent / "solar.csv").write_text("start,kwh\n2026-10-09T12:00Z,0.2\n")
        file.write_text(SITES.replace("bought = 2026-01-01", "bought = 2026-10-10"))
        places = load_places(str(file), "", LABELS)
    start = ms(2026, 10, 9)
    rows = [
        DeviceHour(device, start + data.draw(st.integers(0, 47)) * HOUR_MS, data.draw(st.integers(1, 10**9)))
        for device in data.draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=30))
    ]
    sums: list[dict[tuple[str, ...], Decimal]] = []
    for step in (24 * HOUR_MS, HOUR_MS):
        found: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        for from_ms in range(start, start + 48 * HOUR_MS, step):
            here = [row for row in rows if from_ms <= row.hour_ms < from_ms + step]
            for one in charges_of(places, here, LABELS, from_ms, from_ms + step):
                about = (one.region, one.resource, one.service, one.description, one.kind, one.currency)
                spent = {"billed": one.billed, "effective": one.effective}
                if one.unit == "hour" and one.quantity is not None:
                    spent["hours"] = one.quantity
                for name, amount in spent.items():
                    key = (*about, name)
                    found[key] += amount
        sums.append(found)
    days, hours = sums
    assert days == hours


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12), st.integers(0, 10**13))
def test_the_shares_of_an_hour_are_its_cost(energies: list[int], made: int) -> None:
    place = Place(site=Site(name="s"), clockwork=load_clockwork(""), made_mj={0: made})
    rows = [DeviceHour(f"d{number}", 0, mj) for number, mj in enumerate(energies)]
    charges = list(electricity(place, accounts(place, rows, DAY), DAY))
    drawn = max(0, sum(energies) - made)
    exact = Decimal(drawn) * Decimal("0.15") / KWH
    assert abs(total([one.billed for one in charges if one.kind == "Usage"]) - exact) <= Decimal("1e-12")
    assert all(one.billed >= 0 for one in charges if one.kind == "Usage")
    assert [one.key for one in charges] == [
        one.key for one in electricity(place, accounts(place, reversed(rows), DAY), DAY)
    ]


def test_from_the_ledger(tmp_path: Path, sites: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    start = ms(2026, 10, 20)
    for device in ("a", "z"):
        ledger.take(
            Report(
                device=device,
                session="s",
                epoch="1",
                seq=minute,
                at_ms=start + minute * 60_000,
                counters=Counters(energy_mj=minute * 900_000),  # 15 W
                gauges=Gauges(),
            )
            for minute in range(121)
        )
    roll_up(ledger)
    row: dict[str, str | int] = {
        "fleet": "f",
        "device": "a",
        "status": "online",
        "labels": '{"site": "berlin", "board": "nano"}',
    }
    row |= {"revision": 0, "ack": "", "code": "", "reason": "", "seen_ms": 0}
    with ledger.engine.begin() as connection:
        connection.execute(insert(known_device).values(**row))
    assert sorted(
        (one.device, one.energy_mj) for one in device_hours(ledger, start, start + 2 * HOUR_MS)
    ) == [
        ("a", 54_000_000), ("a", 54_000_000), ("z", 54_000_000), ("z", 54_000_000)
    ]  # fmt: skip
    asked = {"fleet": "f", "sites": str(sites), "tariff": ""}
    charges = list(edge_charges(ledger, start, start + 2 * HOUR_MS, **asked))
    paid = [(one.resource, one.billed) for one in charges if one.unit == "kWh"]
    assert paid == [("a", Decimal("0.009")), ("z", Decimal("0.0045"))]
    assert charges == list(edge_charges(ledger, start, start + 2 * HOUR_MS, **asked)), "the same keys again"
    ledger.close()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[site]]\nname = "a"\n[[site]]\nname = "a"', "site 'a' stands there twice"),
        ('[[site]]\nname = "a"\nsupport_per_month = "-1"', "site a: -1 is no amount of money"),
        ('[[site]]\nname = "a"\ntarif = "x"', "did you mean 'tariff'?"),
        (
            '[[hardware]]\nname = "n"\nprice = "1"\nresidual = "2"\nlife_months = 1\nbought = 2026-01-01',
            "hardware n: residual 2 is more than price 1",
        ),
    ],
)
def test_what_is_wrong_with_sites(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(DocumentError) as refused:
        load_sites(str(file))
    assert sentence in str(refused.value)


def test_what_is_wrong_with_a_plants_readings(sites: Path) -> None:
    for line in ("2026-10-05T12:00,2", "2026-10-05T12:00Z,-2", "2026-10-05T12:00Z", "noon,2"):
        (sites.parent / "solar.csv").write_text(f"start,kwh\n{line}\n")
        with pytest.raises(DocumentError, match=r"solar\.csv, line 2"):
            load_places(str(sites), "", {})


def test_the_reference_fleet_costs_what_it_costs() -> None:
    """15 W at 330 requests/s: energy is a four-hundredth of what the notes had; all-in is more."""
    place = Place(site=Site(name="s"), clockwork=load_clockwork(""))
    (hour,) = electricity(place, accounts(place, [DeviceHour("a", 0, 15 * 3_600_000)], DAY), DAY)
    assert hour.marginal is not None
    assert hour.quantity is not None
    assert round(hour.marginal * hour.quantity / (330 * 3600), 11) == Decimal("1.89e-9")
    assert date(2026, 1, 1) == load_clockwork("").tariff.valid_from
