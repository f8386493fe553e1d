"""From costs to alerts, to people, and to the commands."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import aiomqtt
import pytest
from hypothesis import settings
from tests.costing import a_charge
from tests.hearing import hearing
from tests.world import HandClock, Mosquitto
from typer.testing import CliRunner

from tidewatt_coordinator.alerts.metrics import AlertMetrics
from tidewatt_coordinator.alerts.settings import Alerts, Webhook
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.telling import Telling, tellers
from tidewatt_coordinator.alerts.watch import Watch
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config, parse_config
from tidewatt_coordinator.costs.days import DAY_MS, day_ms
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Alert
from tidewatt_wire.topics import AlertTopic

quick = settings(max_examples=25)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield ledger
    ledger.close()


@pytest.fixture
def book(ledger: Ledger) -> AlertBook:
    return AlertBook(ledger.engine, "f")


class RealTime:
    """A real time in our hands."""

    real_ms = 1_000_000

    def now(self) -> int:
        return self.real_ms


# The look

FIRST, LAST = date(2026, 8, 1), date(2026, 11, 20)


def spend(
    ledger: Ledger, amount: str, first: date = FIRST, last: date = LAST, service: str = "Lambda"
) -> None:
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    Charges(ledger.engine).put(
        [
            a_charge(
                key=f"{service} {day}",
                start_ms=day_ms(day),
                end_ms=day_ms(day) + DAY_MS,
                service=service,
                billed=Decimal(amount),
            )
            for day in days
        ],
        1,
    )


def at(day: date, hour: int = 12) -> HandClock:
    return HandClock(day_ms(day) + hour * 3_600_000)


CONFIG = """
[[budgets]]
name = "cloud"
amount = "1000"
actual = [80]
forecast = []
[alerts]
mqtt = false
[[alerts.webhook]]
name = "x"
url = "http://127.0.0.1:1/"
"""


def config_of(text: str = CONFIG) -> Config:
    return parse_config(text, name="c.toml")


def test_a_budget_is_said_once_a_month(ledger: Ledger, book: AlertBook) -> None:
    spend(ledger, "45")
    clock = at(date(2026, 11, 1))
    watch = Watch(book, ledger.engine, config_of(), clock, real_ms=lambda: 0)
    news: list[tuple[str, str]] = []
    for _ in range(32 * 4):
        news += [(f"{date(1970, 1, 1) + timedelta(days=clock.now_ms() // DAY_MS)}", one.state)
                 for one in watch.look()]  # fmt: skip
        clock.move(6 * 3600)
    # 80 % of 1000 are passed on the 18th day at 45 a day; and December begins with nothing known of it.
    assert news == [("2026-11-18", "firing")]
    spend(ledger, "1", date(2026, 12, 1), date(2026, 12, 2))
    assert [one.state for one in watch.look()] == ["recovered"]
    assert not watch.look()


def test_an_anomaly_is_said_when_its_day_is_settled_and_over_after_three(
    ledger: Ledger, book: AlertBook
) -> None:
    spend(ledger, "20")
    spend(ledger, "75.50", date(2026, 11, 10), date(2026, 11, 11))
    clock = at(date(2026, 11, 8))
    watch = Watch(book, ledger.engine, config_of(), clock, real_ms=lambda: 0)
    news: list[tuple[int, str, str]] = []
    for day in range(8, 21):
        news += [(day, one.state, one.summary) for one in watch.look() if one.kind == "anomaly"]
        clock.move(86_400)
    # The 10th is over at the beginning of the 11th, and settled two days later.
    (raised, over) = news
    expected = "expected 20.00 by the median of 8 Tuesdays: 55.50 more, and 55.50 more than the day before"
    assert raised == (13, "firing", f"service Lambda: 75.50 USD on 2026-11-10, {expected}")
    assert over[:2] == (17, "recovered")
    assert over[2] == "service Lambda: 20.00 USD on 2026-11-14, expected 20.00 by the median of 8 Saturdays"


def test_nothing_known_is_nothing_said(ledger: Ledger, book: AlertBook) -> None:
    watch = Watch(book, ledger.engine, config_of(), at(LAST), real_ms=lambda: 0)
    assert not watch.look()
    assert watch.judged
    assert watch.judged.budgets[0].spent is None


async def test_a_look_that_fails_is_one_line_and_the_next_one_tries_again(
    ledger: Ledger, book: AlertBook, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of("[anomalies]\ntags = ['a\"b']")
    watch = Watch(book, ledger.engine, config, at(LAST))
    task = asyncio.create_task(watch.run())
    while not watch.failing:
        await asyncio.sleep(0.005)
    await ended(task)
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == [
        "costs can't be watched: tag 'a\"b': quotes and backslashes can't be looked for"
    ]


async def test_from_the_costs_to_a_webhook_and_the_broker(
    ledger: Ledger, book: AlertBook, mosquitto: Mosquitto
) -> None:
    spend(ledger, "45")
    clock, now = at(LAST), RealTime()
    with hearing() as there:
        hook = Webhook(name="x", url=there.url)
        config = parse_config(CONFIG.replace("mqtt = false", "mqtt = true"), name="c.toml")
        targets = tellers(Alerts(webhook=[hook]), Connection(mosquitto.url), "one", now.now)
        watch = Watch(book, ledger.engine, config, clock, real_ms=now.now)
        teller = Telling(book, targets, real_ms=now.now)
        mosquitto.kill()  # the broker comes later
        (raised,) = watch.look()
        await teller.round()
        assert teller.failing == {"mqtt"}
        mosquitto.start()
        book.acknowledge(raised.name, "ada", "", config.alerts.targets, clock.now_ms(), now.real_ms)
        now.real_ms += 60_000
        for _ in range(3):
            await teller.round()
    types = [json.loads(body)["type"] for _, body in there.heard]
    assert types == ["tidewatt.alert.firing", "tidewatt.alert.acknowledged"]
    async with aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(str(AlertTopic("f", raised.name)), qos=1)
        kept = decode(Alert, bytes((await anext(client.messages)).payload))
    assert (kept.state, kept.by, kept.name) == ("acknowledged", "ada", "budget.cloud.actual-80")
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in AlertMetrics(watch, teller).collect()
        for sample in family.samples
    }
    assert shown["tidewatt_alerts_told_total", "mqtt"] == 2
    assert shown["tidewatt_alerts_failures_total", "mqtt"] == 1
    assert shown["tidewatt_alerts_target_failing", "mqtt"] == 0
    assert shown["tidewatt_alerts", "budget", "firing"] == 1  # as of the last look
    assert shown["tidewatt_budget_spent", "cloud", "USD"] == 900


# The commands


@pytest.fixture
def config(tmp_path: Path, ledger: Ledger) -> Path:
    path = tmp_path / "coordinator.toml"
    clock = f"[clock]\norigin_unix_ms = {day_ms(LAST)}\norigin_monotonic_s = 0.0\nspeed = 1e-9\n"
    url = f'[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n[coordinator]\nfleet = "f"\n'
    path.write_text(url + clock + CONFIG)
    spend(ledger, "20")
    spend(ledger, "900", date(2026, 11, 10), date(2026, 11, 10), "S3")
    return path


def tidewatt(config: Path, *arguments: str) -> str:
    found = CliRunner().invoke(app, [*arguments, "--config", str(config)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_the_commands(config: Path, ledger: Ledger, book: AlertBook) -> None:
    assert "cloud" in tidewatt(config, "budget", "ls")
    assert json.loads(tidewatt(config, "budget", "ls", "--json"))[0]["amount"] == "1000"
    status = tidewatt(config, "budget", "status")
    assert "1,300.00" in status
    assert "130" in status
    (found,) = json.loads(tidewatt(config, "budget", "status", "cloud", "--json"))
    assert found["spent"] == "1300"
    (one,) = json.loads(tidewatt(config, "anomalies", "ls", "--json"))
    assert (one["by"], one["value"], one["verdict"]["day"], one["impact"]) == (
        "service", "S3", "2026-11-10", "900",
    )  # fmt: skip
    assert "900.00 USD" in tidewatt(config, "anomalies", "ls")
    assert json.loads(tidewatt(config, "anomalies", "ls", "--days", "5", "--json")) == []
    Watch(book, ledger.engine, parse_config(config.read_text(), name="c"), at(LAST, 0)).look()
    listed = json.loads(tidewatt(config, "alerts", "ls", "--json"))
    assert [(one["name"], one["state"]) for one in listed["alerts"]] == [("budget.cloud.actual-80", "firing")]
    assert listed["waiting"][0]["count"] == 1
    assert "acknowledged by ada" in tidewatt(config, "alerts", "ack", "budget.cloud.actual-80", "--by", "ada")
    shown = tidewatt(config, "alerts", "ls")
    assert "acknowledged by ada" in shown
    assert "x was not told of 2 events" in shown


def test_commands_that_are_wrong(config: Path) -> None:
    for arguments in (["budget", "status", "nope"], ["alerts", "ack", "nope"]):
        found = CliRunner().invoke(app, [*arguments, "--config", str(config)])
        assert isinstance(found.exception, ValueError)
        assert "nope" in str(found.exception)
