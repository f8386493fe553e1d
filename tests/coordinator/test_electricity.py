"""Electricity tariffs: every moment has one price, clocks that change lose no hour, sums are exact."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.electricity.accrual import accrued, life_of, monthly
from tidewatt_coordinator.electricity.dayahead import DayAheadError, midnight_ms, parse_day_ahead
from tidewatt_coordinator.electricity.files import load_clockwork
from tidewatt_coordinator.electricity.meter import peak, settle
from tidewatt_coordinator.electricity.rates import HOUR_MS, QUARTER_MS, Clockwork, cost, mean_price
from tidewatt_coordinator.electricity.tariff import parse_tariff
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_coordinator.money import total
from tidewatt_wire.documents import DocumentError

KWH = 3_600_000_000
HEAD = (
    'name = "t"\ncurrency = "USD"\nprice_per_kwh = "0.10"\nvalid_from = 2026-01-01\nsource = "a contract"\n'
)
#: Summer and winter, peaks on weekdays, holidays at their own price, a night over midnight.
SEASONS = (
    HEAD
    + """
zone = "America/Los_Angeles"
holidays = ["07-04", "2026-11-26"]
[[season]]
name = "summer"
from = "06-01"
to = "09-30"
[[season]]
name = "winter"
from = "10-01"
to = "05-31"
[[window]]
name = "holiday"
days = ["holiday"]
price_per_kwh = "0.05"
[[window]]
name = "summer peak"
season = "summer"
days = ["weekday"]
from = "16:00"
to = "21:00"
price_per_kwh = "0.55"
[[window]]
name = "winter peak"
season = "winter"
days = ["weekday"]
from = "17:00"
to = "20:00"
price_per_kwh = "0.35"
[[window]]
name = "night"
from = "22:30"
to = "06:00"
price_per_kwh = "0.08"
"""
)
#: Half hours, quarter hours, half-hour steps of summer time, both hemispheres, a zone without summer time,
#: one that skips a midnight.
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Auckland", "America/Sao_Paulo", "Africa/Cairo", "Asia/Tehran", "America/St_Johns",
]  # fmt: skip


def clockwork(text: str) -> Clockwork:
    return Clockwork(parse_tariff(text, "t.toml"))


def at(moment: str, zone: str = "America/Los_Angeles") -> int:
    return round(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def test_fifty_four_kilowatt_hours() -> None:
    flat = load_clockwork("")
    hourly = [cost(5 * 15 * 3_600_000, flat.hour(hour * HOUR_MS)) for hour in range(720)]
    assert total(hourly) == Decimal("8.10"), "5 boards of 15 W for 720 hours"
    assert hourly[0] == 5 * Decimal("0.00225")


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("2026-07-03T15:59", "base"),
        ("2026-07-03T16:00", "summer peak"),
        ("2026-07-03T20:59", "summer peak"),
        ("2026-07-03T21:00", "base"),
        ("2026-07-04T17:00", "holiday"),  # every year's, a saturday
        ("2026-07-05T17:00", "base"),  # a sunday
        ("2026-11-26T18:00", "holiday"),  # this year's, a thursday
        ("2025-11-26T18:00", "winter peak"),
        ("2026-01-05T18:00", "winter peak"),  # a season over the new year
        ("2026-01-05T22:30", "night"),
        ("2026-01-06T05:59", "night"),
        ("2026-01-06T06:00", "base"),
        ("2026-09-30T16:30", "summer peak"),
        ("2026-10-01T16:30", "base"),
    ],
)
def test_which_window_holds(moment: str, name: str) -> None:
    start = at(moment)
    (rate,) = clockwork(SEASONS).rates(start, start + 60_000)
    assert rate.name == name


@given(st.sampled_from(ZONES), st.integers(1990, 2050), st.integers(0, 95), st.integers(1, 96))
@settings(max_examples=12)
def test_the_hours_of_a_year_add_up(zone: str, year: int, first: int, length: int) -> None:
    end = (first + length) % 96 or 96
    if end == first:
        end = (first + 1) % 97
    clock = [f"{quarter // 4:02}:{quarter % 4 * 15:02}" for quarter in range(97)]
    window = f'[[window]]\nfrom = "{clock[first]}"\nto = "{clock[end]}"\nprice_per_kwh = "0.20"\n'
    tariff = clockwork(f'{HEAD}zone = "{zone}"\n{window}')
    start, stop = (midnight_ms(date(one, 1, 1), tariff.zone) for one in (year, year + 1))
    rates = list(tariff.rates(start, stop))
    assert (rates[0].start_ms, rates[-1].end_ms) == (start, stop)
    assert all(one.end_ms == other.start_ms for one, other in pairwise(rates))
    hours = sum(rate.end_ms - rate.start_ms for rate in rates) / HOUR_MS
    offsets = [datetime(one, 1, 1, tzinfo=tariff.zone).utcoffset() for one in (year, year + 1)]
    assert offsets[0] is not None
    assert offsets[1] is not None
    days = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    assert hours == 24 * days - (offsets[1] - offsets[0]) / timedelta(hours=1)
    # A constant load costs the same whether it is reckoned at once or hour by hour.
    whole_hours = range(start - start % HOUR_MS + HOUR_MS, stop - stop % HOUR_MS, HOUR_MS)
    by_hour = total([cost(KWH, tuple(tariff.rates(one, one + HOUR_MS))) for one in whole_hours[:2000]])
    at_once = tuple(tariff.rates(whole_hours[0], whole_hours[0] + HOUR_MS * len(whole_hours[:2000])))
    assert abs(by_hour - cost(KWH * len(whole_hours[:2000]), at_once)) < Decimal("1e-6")


def test_a_night_of_clock_changes_is_an_hour_shorter_or_longer() -> None:
    night = clockwork(
        HEAD + 'zone = "Europe/Berlin"\n[[window]]\nfrom = "00:00"\nto = "06:00"\nprice_per_kwh = "0.01"'
    )

    def cheap_hours(day: date) -> float:
        start, end = (midnight_ms(one, night.zone) for one in (day, day + timedelta(days=1)))
        return sum(r.end_ms - r.start_ms for r in night.rates(start, end) if r.name != "base") / HOUR_MS

    assert cheap_hours(date(2026, 3, 29)) == 5
    assert cheap_hours(date(2026, 10, 25)) == 7
    assert cheap_hours(date(2026, 10, 26)) == 6


def test_an_hour_with_two_prices_is_split_where_they_change() -> None:
    tariff = clockwork(SEASONS)
    hour = tariff.hour(at("2026-01-05T22:00"))  # base until 22:30, then night
    assert [(rate.end_ms - rate.start_ms, rate.name) for rate in hour] == [
        (2 * QUARTER_MS, "base"), (2 * QUARTER_MS, "night")
    ]  # fmt: skip
    assert cost(KWH, hour) == Decimal("0.09") == mean_price(hour)
    assert tariff.hour(at("2026-01-05T22:00")) is hour, "a whole fleet asks for the same hours"


def rows(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.strip().splitlines()]


def test_day_ahead_by_local_day_with_clock_changes() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 10, 26), 24)):
        for steps in (1, 2, 4):
            listed = ",".join(str(number) for number in range(hours * steps))
            prices = parse_day_ahead(rows(f"day,prices\n{day},{listed}"), berlin)
            start = midnight_ms(day, berlin)
            assert list(prices) == [start + quarter * QUARTER_MS for quarter in range(hours * 4)]
            assert prices[start + hours * HOUR_MS - QUARTER_MS] == hours * steps - 1
    with pytest.raises(
        DayAheadError, match="line 2: a day of 23 hours has 23 prices, or twice or four times"
    ):
        parse_day_ahead(rows("day,prices\n2026-03-29," + ",".join(["1"] * 24)), berlin)


def test_day_ahead_by_moment_and_what_holds_beside_it(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "start,price_per_kwh\n2026-11-21T00:00+01:00,0.20\n2026-11-20T23:30Z,-0.05\n2026-11-21T03:00+01:00,0.4\n"
    )
    terms = '[day_ahead]\nfile = "p.csv"\ntimes = "1.5"\nadd_per_kwh = "0.02"\n'
    (tmp_path / "t.toml").write_text(HEAD + terms)
    tariff = load_clockwork(str(tmp_path / "t.toml"))
    start = at("2026-11-21T00:00", "Europe/Berlin")
    told = [
        ((rate.start_ms - start) / HOUR_MS, rate.price_per_kwh, rate.name)
        for rate in tariff.rates(start, start + 5 * HOUR_MS)
    ]
    assert told == [
        (0, Decimal("0.32"), "day ahead"),
        (0.5, Decimal("-0.055"), "day ahead"),
        (1.5, Decimal("0.10"), "base"),  # a price lasts an hour at most
        (3, Decimal("0.62"), "day ahead"),
        (4, Decimal("0.10"), "base"),
    ]
    (tmp_path / "p.csv").write_text("start,price_per_kwh\n2026-11-21T00:00,0.20\n")
    with pytest.raises(DocumentError, match=r"p\.csv, line 2: the start 2026-11-21T00:00 has no offset"):
        load_clockwork(str(tmp_path / "t.toml"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: the header is neither"),
        ("start,price_per_kwh\nx,1", "line 2: 'x,1' is not a time with its price"),
        ("start,price_per_kwh\n2026-11-21T00:07Z,1", "not on a quarter hour"),
        ("start,price_per_kwh\n2026-11-21T00:00Z,NaN", "the price NaN is not a number"),
        ("start,price_per_kwh\n2026-11-21T00:00Z", "needs 2 cells"),
        ("day,prices\n2026-02-30,1", "line 2: '2026-02-30,1' is not"),
    ],
)
def test_what_is_wrong_with_day_ahead_prices(text: str, sentence: str) -> None:
    with pytest.raises(DayAheadError) as refused:
        parse_day_ahead(rows(text) if text else [], ZoneInfo("UTC"))
    assert sentence in str(refused.value)


@given(st.text("0123456789-:,.TZ+daypricestk_hw\n", max_size=80))
def test_nonsense_is_refused_in_one_way(text: str) -> None:
    for head in ("start,price_per_kwh\n", "day,prices\n"):
        lines = [line.split(",") for line in (head + text).splitlines()]
        try:
            prices = parse_day_ahead(lines, ZoneInfo("Europe/Berlin"))
        except DayAheadError:
            continue
        assert all(start % QUARTER_MS == 0 for start in prices)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('zone = "Mars/Olympus"', "zone 'Mars/Olympus' is no IANA time zone"),
        ('holidays = ["02-30"]', "holidays: '02-30' is neither a day like"),
        ('per_month = "-1"', "per_month -1 is not a price"),
        ('[[window]]\nseason = "sumer"\nprice_per_kwh = "1"', "there is no season 'sumer'; there are: none"),
        ('[[window]]\nfrom = "07:00"\nto = "07:00"\nprice_per_kwh = "1"', "is no time of the day"),
        ('[[window]]\nfrom = "07:10"\nprice_per_kwh = "1"', "window"),
        ('[[window]]\nprice = "1"', "unknown key 'window.price'; did you mean 'price_per_kwh'?"),
        ('[[window]]\ndays = ["monday"]\nprice_per_kwh = "1"', "Invalid enum value 'monday'"),
        ('[[demand]]\nprice_per_kw = "NaN"', "demand 1: NaN is not a price"),
    ],
)
def test_what_is_wrong_with_a_tariff(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse_tariff(HEAD + text, "t.toml")
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("t.toml: ")


def test_the_flat_file_is_read_by_both_and_a_richer_one_is_told_where_to_go(tmp_path: Path) -> None:
    flat, rich, wrong = (tmp_path / name for name in ("flat.toml", "rich.toml", "wrong.toml"))
    flat.write_text(HEAD)
    rich.write_text(SEASONS)
    wrong.write_text(HEAD + "prize = 1\n")
    assert load_tariff(str(flat)).price_per_kwh == load_clockwork(str(flat)).tariff.price_per_kwh
    with pytest.raises(DocumentError, match="is a flat price; a tariff by the hour belongs to a site"):
        load_tariff(str(rich))
    with pytest.raises(DocumentError, match="unknown key 'prize'; did you mean 'price_per_kwh'?"):
        load_tariff(str(wrong))


def test_a_plant_serves_the_site_first() -> None:
    hour = clockwork(HEAD).hour(0)
    drawn = settle(3 * KWH, 1 * KWH, hour, Decimal("0.04"))
    assert (drawn.import_mj, drawn.export_mj, drawn.cost, drawn.credit) == (
        2 * KWH,
        0,
        Decimal("0.2"),
        Decimal(0),
    )
    assert drawn.marginal_per_kwh == Decimal("0.1")
    sold = settle(1 * KWH, 3 * KWH, hour, Decimal("0.04"))
    assert (sold.import_mj, sold.export_mj, sold.cost, sold.credit) == (
        0,
        2 * KWH,
        Decimal(0),
        Decimal("0.08"),
    )
    assert sold.marginal_per_kwh == Decimal("0.04"), "one more kWh would not be sold"


def test_the_demand_charge_is_for_the_months_greatest_mean_power() -> None:
    demand = (
        '[[demand]]\ndays = ["weekday"]\nfrom = "08:00"\nto = "20:00"\nprice_per_kw = "12"\nminutes = 30\n'
    )
    tariff = clockwork(HEAD + 'zone = "Europe/Berlin"\n' + demand)
    terms = tariff.tariff.demand[0]
    month = (midnight_ms(date(2026, 11, 1), tariff.zone), midnight_ms(date(2026, 12, 1), tariff.zone))
    busy = at("2026-11-23T10:00", "Europe/Berlin")  # a monday
    step = 300_000
    energy = {busy + index * step: KWH // 12 for index in range(12)}  # 1 kW for an hour
    energy |= {busy + index * step: 2 * KWH // 12 for index in range(3)}  # 2 kW for its first quarter
    energy[at("2026-11-22T10:00", "Europe/Berlin")] = 9 * KWH  # a sunday
    energy[at("2026-12-01T10:00", "Europe/Berlin")] = 9 * KWH  # another month
    found = peak(tariff, terms, energy, step, month)
    assert found is not None
    assert (found.start_ms, found.kilowatts, found.cost) == (busy, Decimal("1.5"), Decimal(18))
    assert peak(tariff, terms, {}, step, month) is None


@given(
    st.sampled_from(ZONES),
    st.integers(2000, 2040),
    st.decimals(0, 5000, places=2),
    st.lists(st.integers(0, 366 * 24 * 60), max_size=20),
)
@settings(max_examples=50)
def test_the_parts_of_a_fee_and_of_a_write_off_are_the_whole(
    zone_name: str, year: int, amount: Decimal, cuts: list[int]
) -> None:
    zone = ZoneInfo(zone_name)
    start, end = (midnight_ms(date(one, 1, 1), zone) for one in (year, year + 1))
    moments = sorted({start, end, *(min(end, start + cut * 60_000) for cut in cuts)})
    pieces = list(pairwise(moments))
    assert total([monthly(amount, zone, *piece) for piece in pieces]) == 12 * amount
    life = life_of(date(year, 1, 1), 12, zone)
    assert life == (start, end)
    assert total([accrued(amount, life, *piece) for piece in pieces]) == amount
    assert accrued(amount, life, end, end + HOUR_MS) == 0, "written off"


def test_lives_end_with_the_month() -> None:
    zone = ZoneInfo("UTC")
    for bought, months, last in (
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2026, 1, 31), 11, date(2026, 12, 31)),
        (date(2026, 1, 15), 48, date(2030, 1, 15)),
    ):
        assert life_of(bought, months, zone)[1] == midnight_ms(last, zone)


def test_the_commands(tmp_path: Path) -> None:
    run = CliRunner().invoke
    (tmp_path / "t.toml").write_text(SEASONS)
    checked = run(app, ["tariff", "check", str(tmp_path / "t.toml")])
    assert checked.output == "t: good; USD, from 2026-01-01 on, a contract\n"
    shown = run(app, ["tariff", "show", str(tmp_path / "t.toml"), "--day", "2026-11-01"])
    lines = [line.split() for line in shown.output.splitlines()]
    assert [line[1] for line in lines] == ["420", "990", "90"], "the clocks went back in that night"
    assert lines[0][0] == "2026-11-01T00:00-07:00"
    assert run(app, ["tariff", "show"]).output.strip().endswith("1440 min  0.15 USD  base")
