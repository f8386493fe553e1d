"""The questions asked of real databases, by the commands and over REST."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from tests.access import acting
from tests.costing import DAY_MS, OCTOBER_MS, a_charge, charges
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.costs import edge_days
from tidewatt_coordinator.costs.attribution import NONE, attribute, within
from tidewatt_coordinator.costs.charge import SMALLEST, Charge, CostError
from tidewatt_coordinator.costs.days import Window, day_ms, day_of
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.electricity.charges import ELECTRICITY, HARDWARE
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import day_use, hour_use, known_device, site_day
from tidewatt_coordinator.questions import reading
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.changes import Change, Changes, Selector
from tidewatt_coordinator.questions.rest import MOST_KEPT, Remembered, router
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import to_toml

FIRST = date(2026, 10, 1)
HOUR_MS = 3_600_000
#: Joules for a request before and after the rollout in berlin.
BEFORE, AFTER = 50, 40
#: It comes into force on this day; the world is told until UNTIL.
ROLLOUT, UNTIL = FIRST + timedelta(days=28), FIRST + timedelta(days=42)
DEVICES = {"b1": "berlin", "b2": "berlin", "r1": "rome", "r2": "rome", "sleeper": "rome"}


@pytest.fixture
def ledger(new_ledger_url: Callable[[], str]) -> Iterator[Ledger]:
    opened = Ledger(new_ledger_url(), 300_000)
    yield opened
    opened.close()


def a_day_of(device: str, day: date) -> tuple[int, int]:
    """Energy in J and requests."""
    requests = 0 if device == "sleeper" else 200_000 if day.weekday() < 5 else 100_000
    joules = AFTER if DEVICES[device] == "berlin" and day > ROLLOUT else BEFORE
    return (requests * joules if requests else 86_400 * 4), requests


def a_world(ledger: Ledger) -> None:
    """Six weeks of five devices at two sites, and a cloud that costs 12 dollars a day."""
    rows, use, day_rows = [], [], []
    sites: dict[tuple[int, str], dict[str, int]] = {}
    for number in range((UNTIL - FIRST).days):
        day = FIRST + timedelta(days=number)
        start = day_ms(day)
        for device, site in DEVICES.items():
            joules, requests = a_day_of(device, day)
            kwh = (Decimal(joules) / 3_600_000).quantize(SMALLEST)
            energy = {"quantity": kwh, "unit": "kWh", "marginal": Decimal("0.36")}
            where = {"source": "edge", "region": site, "resource": device, "tags": {"device": device}}
            hour = {"start_ms": start + HOUR_MS, "end_ms": start + 2 * HOUR_MS}
            paid = (kwh * Decimal("0.36")).quantize(SMALLEST)
            rows += [
                a_charge(
                    key=f"{device}/e/{day}", service=ELECTRICITY, billed=paid, **where, **hour, **energy
                ),
                a_charge(key=f"{device}/h/{day}", service=HARDWARE, billed=Decimal("0.30"), **where, **hour),
            ]
            values = dict.fromkeys(COUNTERS, 0) | {"energy_mj": joules * 1000, "requests": requests}
            key = {"device": device, "epoch": "e"}
            use.append(key | values | {"hour_ms": start + HOUR_MS})
            zeros = {"first_hour_ms": -1} | {f"{name}_at": 0 for name in COUNTERS}
            day_rows.append(key | values | zeros | {"day_ms": start, "site": site})
            total = sites.setdefault((start, site), dict.fromkeys(COUNTERS, 0))
            for name in COUNTERS:
                total[name] += values[name]
        tags = {"team": "search" if number % 2 else "o'h\"ara"}
        rows.append(
            a_charge(key=f"c{day}", billed=Decimal(12), tags=tags, start_ms=start, end_ms=start + DAY_MS)
        )
    Charges(ledger.engine).put(rows, 1)
    with ledger.engine.begin() as connection:
        connection.execute(insert(hour_use), use)
        connection.execute(insert(day_use), day_rows)
        connection.execute(
            insert(site_day), [{"day_ms": at, "site": site} | sums for (at, site), sums in sites.items()]
        )
        known = {"fleet": "default", "status": "online", "revision": 0, "ack": "", "code": "", "reason": ""}
        connection.execute(
            insert(known_device),
            [
                known | {"device": name, "labels": json.dumps({"site": site, "board": "nano"}), "seen_ms": 0}
                for name, site in DEVICES.items()
            ],
        )


def answers_of(ledger: Ledger) -> Answers:
    return Answers(ledger, "default", "focus", lambda: day_ms(UNTIL) + 5 * HOUR_MS)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(kept=st.lists(charges(), max_size=12, unique_by=lambda one: one.key))
def test_the_database_sums_as_python_does(ledger: Ledger, kept: list[Charge]) -> None:
    store = Charges(ledger.engine)
    store.replace("edge", [""], [], 1)
    store.put(kept, 2)
    window = Window(0, 60_000 * DAY_MS)
    for by in (["service"], ["kind", "unit"], ["tag:a", "region"], []):
        found = reading.costs(ledger, window, ["edge"], by)
        parts = [part for one in kept if (part := within(one, window))]
        if "unit" not in by:
            expected = {(one.key, one.currency): one.effective for one in attribute(parts, by)}
            assert {(one.key, one.currency): one.effective for one in found} == expected
        for currency in {one.currency for one in kept}:
            mine = [one for one in parts if one.currency == currency]
            assert sum(cost.billed for cost in found if cost.currency == currency) == sum(
                one.billed for one in mine
            )
            priced = [
                one.marginal * one.quantity for one in mine if one.marginal is not None and one.quantity
            ]
            if by == [] and priced:
                (cost,) = (one for one in found if one.currency == currency)
                assert cost.marginal == pytest.approx(sum(priced))
    store.replace("edge", [""], [], 3)


def test_months_are_cut_into_days_without_loss(ledger: Ledger) -> None:
    month = a_charge(key="fee", billed=Decimal(100), end_ms=OCTOBER_MS + 31 * DAY_MS)
    Charges(ledger.engine).put([month, a_charge(key="day", billed=Decimal("0.000000000001"))], 1)
    window = Window(OCTOBER_MS, OCTOBER_MS + 31 * DAY_MS)
    days = reading.costs(ledger, window, ["focus"], ["day"])
    assert [one.key[0] for one in days][:2] == ["2026-10-01", "2026-10-02"]
    assert len(days) == 31
    assert sum(one.effective for one in days) == Decimal("100.000000000001")


def test_days_are_summed_anew_when_charges_change_and_only_then(ledger: Ledger) -> None:
    store, window = Charges(ledger.engine), Window(OCTOBER_MS, OCTOBER_MS + 3 * DAY_MS)

    def hour(key: str, day: int, billed: str) -> Charge:
        start = OCTOBER_MS + day * DAY_MS
        return a_charge(
            source="edge", key=key, billed=Decimal(billed), start_ms=start, end_ms=start + HOUR_MS
        )

    def paid() -> Decimal:
        return sum((one.billed for one in reading.costs(ledger, window, ["edge"], ["day"])), Decimal(0))

    store.put([hour("a", 0, "1.000000000001"), hour("b", 0, "-0.5"), hour("c", 1, "2")], 1)
    assert edge_days.refresh(ledger.engine, window) == 2
    assert edge_days.refresh(ledger.engine, window) == 0
    assert paid() == Decimal("2.500000000001")
    store.put([hour("b", 0, "0.25"), hour("d", 2, "4")], 2)
    edge_days._sum_day(
        ledger.engine, OCTOBER_MS, 1
    )  # another, who read the mark before this change and is late
    assert edge_days.refresh(ledger.engine, window) == 2
    assert paid() == Decimal("7.250000000001")
    store.put([hour("a", 0, "1")], 3)
    edge_days._sum_day(
        ledger.engine, OCTOBER_MS, 2
    )  # charges changed while they were summed: the day stays marked
    assert edge_days.refresh(ledger.engine, window) == 1
    store.replace("edge", [""], [], 4)
    assert paid() == 0


def test_what_charges_cannot_be_grouped_by(ledger: Ledger) -> None:
    for wrong in ("servise", "tag:", 'tag:"', "billed", "service; drop table charge"):
        with pytest.raises(CostError, match="can't be grouped by"):
            reading.costs(ledger, Window(0, DAY_MS), ["edge"], [wrong])


def test_what_a_request_costs(ledger: Ledger) -> None:
    a_world(ledger)
    answers = answers_of(ledger)
    week = answers.last(7)
    assert (day_of(week.start_ms), day_of(week.end_ms)) == (
        UNTIL - timedelta(days=8),
        UNTIL - timedelta(days=1),
    )
    whole_week = sum(
        a_day_of(name, day_of(week.start_ms) + timedelta(days=n))[1] for name in DEVICES for n in range(7)
    )
    for by in ("fleet", "day", "site", "device", "backend", "model", "label:board"):
        found = answers.requests(week, by)
        (total,) = found.totals
        assert total.requests == whole_week
        assert total.effective == sum(row.effective or 0 for row in found.rows)
    assert total.effective == answers.requests(week, "fleet").totals[0].effective
    sites = {row.key[0]: row for row in answers.requests(week, "site").rows}
    assert sites["berlin"].joules_per_request == 40
    assert sites[NONE].requests is None, "what the cloud served is not known, not zero"
    assert sites[NONE].effective == 84
    devices = {row.key[0]: row for row in answers.requests(week, "device").rows}
    assert devices["sleeper"].effective_per_request is None
    assert round(devices["r1"].marginal_per_request or 0, 9) == Decimal("0.000005")
    with pytest.raises(CostError, match="can't be told by 'sight'"):
        answers.requests(week, "sight")


def test_spending_by_service_and_tag(ledger: Ledger) -> None:
    a_world(ledger)
    answers = answers_of(ledger)
    week = answers.last(7)
    by_team = {cost.key[0]: cost.effective for cost in answers.breakdown(week, ["tag:team"])}
    assert by_team["search"] + by_team["o'h\"ara"] == 84
    assert set(by_team) == {"search", "o'h\"ara", NONE}
    services = [cost.key[0] for cost in answers.breakdown(week, ["service"])]
    assert services[0] == "AWS Lambda"


def test_why_and_trend_after_the_rollout(ledger: Ledger) -> None:
    a_world(ledger)
    told = Answers(ledger, "default", "focus", lambda: day_ms(ROLLOUT + timedelta(days=9)))
    why = told.why()
    (total,) = why.totals
    assert sum(total.parts.values()) == total.after - total.before
    worst = why.rows[0]
    assert (worst.service, worst.site) == (ELECTRICITY, "berlin")
    assert round(worst.parts["efficiency"], 6) == round(worst.after - worst.before, 6) < 0
    assert "less energy for each request" in worst.sentence
    trends = {row.key: row.direction for row in told.trend(["service", "site"]).rows}
    assert trends[ELECTRICITY, "berlin"] == "down"
    assert trends[ELECTRICITY, "rome"] == "flat"


def test_waste_names_the_sleeper(ledger: Ledger) -> None:
    a_world(ledger)
    answers = answers_of(ledger)
    (sleeper,) = answers.waste(answers.last(7))
    assert (sleeper.kind, sleeper.what) == ("unused", "sleeper")
    assert round(sleeper.amount, 4) == Decimal("2.3419")  # 7 x 0.30, and 0.672 kWh


def test_the_months_end(ledger: Ledger) -> None:
    a_world(ledger)
    (november,) = answers_of(ledger).month()
    assert (november.month, november.currency) == ("2026-11", "USD")
    assert november.known_until == UNTIL - timedelta(days=1)
    assert november.so_far < november.end.low <= november.end.middle <= november.end.high
    (october,) = answers_of(ledger).month(FIRST)
    assert october.end.low == october.end.high == october.so_far
    assert Answers(ledger, "default", "focus", lambda: 0).month() == []


def test_realised_against_predicted(ledger: Ledger) -> None:
    a_world(ledger)
    at_ms = day_ms(ROLLOUT) + HOUR_MS
    changes = Changes(ledger.engine)
    here = Selector(match=[{"site": "berlin"}])
    rollout = Change(
        id="leaner-1", kind="policy", what="policy leaner", begun_ms=at_ms, at_ms=at_ms, selector=here,
        predicted_share=Decimal("0.2"),
    )  # fmt: skip
    changes.put(rollout)
    changes.put(rollout)
    cloud = Change(
        id="cloud", kind="told", what="smaller functions", begun_ms=at_ms, at_ms=at_ms,
        selector=Selector(services=["AWS Lambda"]), predicted_per_month=Decimal(100), currency="USD",
    )  # fmt: skip
    changes.put(cloud)
    assert {one.id: one for one in changes.all()} == {"leaner-1": rollout, "cloud": cloud}
    saved = {one.id: one for one in answers_of(ledger).savings()}
    leaner = saved["leaner-1"]
    assert leaner.realised is not None
    assert float(leaner.realised.saved / leaner.realised.counterfactual) == pytest.approx(0.2)
    assert leaner.predicted_per_month is not None
    assert round(leaner.predicted_per_month, 6) == round(leaner.realised.per_month, 6)
    assert "as good as the predicted" in leaner.sentence
    assert "+0.0 % as with those it did not touch" in leaner.sentence
    assert "not told apart from cloud" in leaner.sentence
    nothing = saved["cloud"].realised
    assert nothing is not None
    assert nothing.low <= 0 <= nothing.high
    assert "less than the predicted 100.00" in saved["cloud"].sentence
    changes.undo("cloud", at_ms)
    assert {one.id: one for one in answers_of(ledger).savings()}["cloud"].realised is None
    with pytest.raises(ValueError, match="there is no change 'x'"):
        changes.undo("x", 1)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    url = f"sqlite:///{tmp_path / 'l.db'}"
    ledger = Ledger(url, 300_000)
    a_world(ledger)
    ledger.close()
    file = tmp_path / "c.toml"
    clock = Timebase(day_ms(UNTIL) + 5 * HOUR_MS, 0.0, 1e-9)
    file.write_text(to_toml(Config(ledger=LedgerConfig(url=url), clock=clock)))
    return file


def ask(config: Path, *words: str) -> str:
    done = CliRunner().invoke(app, ["cost", *words, "--config", str(config)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_a_column_stands_there_once_and_nothing_is_a_sentence(config: Path) -> None:
    assert ask(config, "by", "service", "service") == ask(config, "by", "service")
    for words in (["requests"], ["by", "service"]):
        said = ask(config, *words, "--month", "2020-01")
        assert said == "the ledger has no costs from 2020-01-01 to 2020-02-01: that is missing, not free\n"


def test_every_column_of_money_sums_to_its_total_to_the_cent(config: Path) -> None:
    for by in ("device", "day", "model"):
        for most in ("50", "2"):
            said = [
                [
                    Decimal(cell.split()[0].replace(",", "")) if cell.strip() != "-" else Decimal(0)
                    for cell in row
                ]
                for line in ask(config, "requests", "--by", by, "--most", most).splitlines()
                if line.startswith("│") and (row := line.strip("│").split("│")[1:4])
            ]
            *parts, whole = said
            assert [sum(column) for column in zip(*parts, strict=True)] == whole, (by, most)


def test_the_commands(config: Path) -> None:
    assert "berlin" in ask(config, "requests")
    for by in ("device", "backend", "model", "day", "fleet"):
        assert "total" in ask(config, "requests", "--by", by, "--most", "2")
        assert json.loads(ask(config, "requests", "--by", by, "--json"))["totals"]
    assert "AWS Lambda" in ask(config, "by", "service", "site", "--month", "2026-10")
    assert sum(Decimal(row["effective"]) for row in json.loads(ask(config, "by", "day", "--json"))) > 84
    assert "flat" in ask(config, "trend", "--by", "service")
    assert "all services" in ask(config, "why")
    assert "sleeper served no request" in ask(config, "waste")
    assert ask(config, "month").startswith("2026-11: ")
    assert "no change is known" in ask(config, "savings")
    told = ("change", "add", "bulbs", "--what", "new fans", "--day", "2026-10-29", "--match", "site=rome")
    assert "bulbs: watched from 2026-10-30 on" in ask(config, *told, "--predicted", "3")
    assert "bulbs  told: new fans" in ask(config, "change", "ls")
    assert "bulbs  new fans: it saves" in ask(config, "savings")
    ask(config, "change", "undo", "bulbs", "--day", "2026-10-30")
    assert "taken back 2026-10-30" in ask(config, "change", "ls")
    assert json.loads(ask(config, "change", "ls", "--json"))[0]["selector"]["match"] == [{"site": "rome"}]
    for json_of in (["trend"], ["why"], ["waste"], ["month"], ["savings"]):
        json.loads(ask(config, *json_of, "--json"))


# REST


def got(answers: Answers, path: str) -> httpx.Response:
    served = FastAPI()
    served.include_router(router(answers))

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(acting(served))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(f"/v1/cost/{path}")

    return asyncio.run(asked())


def test_rest_says_what_the_commands_say(ledger: Ledger) -> None:
    a_world(ledger)
    answers = answers_of(ledger)
    summary = got(answers, "summary").json()
    assert summary["until"] == str(UNTIL - timedelta(days=1))
    assert [one["currency"] for one in summary["months"]] == ["USD"]
    assert (
        Decimal(summary["requests"][0]["effective"])
        == answers.requests(answers.last(7), "fleet").totals[0].effective
    )
    assert summary["waste"]["sums"] == [
        {"kind": "unused", "currency": "USD", "amount": summary["waste"]["rows"][0]["amount"]}
    ]
    found = got(answers, "requests?by=device&month=2026-10").json()
    assert sum(Decimal(row["effective"] or 0) for row in found["rows"]) == Decimal(
        found["totals"][0]["effective"]
    )
    assert len(got(answers, "by?by=service&by=site&days=3").json()) == 5
    assert got(answers, "trend?by=tag:team").json()["totals"][0]["direction"] == "flat"
    assert got(answers, "why?days=5").json()["rows"] is not None
    assert got(answers, "waste?most=1").json()["rows"][0]["what"] == "sleeper"
    assert got(answers, "month?month=2026-10").json()[0]["month"] == "2026-10"
    assert got(answers, "savings").json() == []


def test_rest_refuses_with_a_sentence(ledger: Ledger) -> None:
    answers = answers_of(ledger)
    for wrong, sentence in (
        ("by?by=servise", "costs can't be grouped by 'servise'"),
        ("requests?by=x", "requests can't be told by 'x'"),
        ("month?month=2026-13", "'2026-13' is no month such as 2026-10"),
    ):
        refused = got(answers, wrong)
        assert refused.status_code == 422
        assert sentence in refused.json()["detail"]
    assert got(answers, "by?days=0").status_code == 422
    empty = got(answers, "summary").json()
    assert (empty["months"], empty["requests"], empty["why"]) == ([], [], [])


def test_an_answer_is_kept_ten_times_as_long_as_it_took() -> None:
    now_s, asked = 0.0, 0

    def slow() -> int:
        nonlocal now_s, asked
        now_s, asked = now_s + 5.0, asked + 1
        return asked

    remembered = Remembered(lambda: now_s)
    for _ in range(550):
        remembered.of("key", slow)
        now_s += 1.0
    assert asked * 5.0 <= now_s / 10.0 + 5.0
    assert remembered.of("other", slow) == asked
    for number in range(1000):
        remembered.of(number, lambda: 0)
    assert len(remembered._kept) == MOST_KEPT
