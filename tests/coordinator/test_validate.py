"""`tidewatt validate`: what was measured is held against targets, and what wasn't is never called kept."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from tests import costing
from tests.costing import Source, a_charge
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.gate.judged import cost_rows, spot_row
from tidewatt_coordinator.gate.targets import Targets
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import site_day
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import to_toml

DAY_MS = 86_400_000
TODAY_MS = 20_400 * DAY_MS
NOW_MS = TODAY_MS + 5 * 3_600_000


@pytest.fixture
def source() -> Iterator[Source]:
    with costing.source() as running:
        yield running


@pytest.fixture
def asked(tmp_path: Path, source: Source) -> Path:
    """A configuration whose ledger has eight days at 6 USD and a million requests each."""
    url = f"sqlite:///{tmp_path / 'l.db'}"
    ledger = Ledger(url, 300_000)
    begins = [TODAY_MS - number * DAY_MS for number in range(1, 9)]
    Charges(ledger.engine).put(
        [a_charge(key=f"{at}", billed=Decimal(6), start_ms=at, end_ms=at + DAY_MS) for at in begins], 1
    )
    use = dict.fromkeys(COUNTERS, 0) | {"requests": 1_000_000}
    with ledger.engine.begin() as connection:
        connection.execute(insert(site_day), [{"day_ms": at, "site": "rome"} | use for at in begins])
    ledger.close()
    config = Config(
        ledger=LedgerConfig(url=url),
        clock=Timebase(NOW_MS, 0.0, 1e-9),
        levers=Levers(prometheus=source.url),
    )
    file = tmp_path / "c.toml"
    file.write_text(to_toml(config))
    return file


def validate(config: Path, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = CliRunner().invoke(app, ["validate", "--config", str(config), "--json", *options])
    if isinstance(done.exception, ValueError):
        raise done.exception
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    return done.exit_code, {row["target"]: row for row in told["rows"]}


def test_costs_of_a_day_and_of_a_week(asked: Path) -> None:
    code, rows = validate(asked, "--cost", "6", "--cost-per-million", "6.00", "--currency", "USD")
    assert (code, {row["word"] for row in rows.values()}) == (0, {"ok"})
    code, rows = validate(asked, "--window", "7d", "--cost", "41.99", "--cost-per-million", "6")
    assert (code, rows["cost"]["word"], rows["cost_per_million"]["word"]) == (1, "violates", "ok")
    assert rows["cost"]["measured"] == "42.000000 USD"
    code, rows = validate(asked, "--cost", "100", "--currency", "EUR")
    assert (code, rows["cost"]["word"]) == (4, "unknown")


def test_a_broken_target_weighs_more_than_an_unknown_one(asked: Path) -> None:
    assert validate(asked, "--cost", "100", "--p95-ms", "50")[0] == 4
    assert validate(asked, "--cost", "1", "--p95-ms", "50")[0] == 1


def test_prometheus_is_asked_for_what_has_a_query(asked: Path, source: Source, tmp_path: Path) -> None:
    targets = tmp_path / "t.toml"
    targets.write_text('p95_ms = 50.0\nspot_share = 0.6\n[queries]\np95_ms = "p95"\nspot_share = "spot"\n')
    begin_s = NOW_MS // 1000 - 86_400

    def says(**value: float) -> None:
        def answer(asked: dict[str, str]) -> object:
            values = [[begin_s + 60 * (step + 1), str(value[asked["query"]])] for step in range(1440)]
            result = [{"metric": {}, "values": values}]
            return {"status": "success", "data": {"resultType": "matrix", "result": result}}

        source.answers["/api/v1/query_range"] = answer

    says(p95=40.0, spot=0.7)
    code, rows = validate(asked, "--targets", str(targets))
    assert (code, rows["p95_ms"]["measured"], rows["spot_share"]["measured"]) == (0, "40", "0.7")
    assert validate(asked, "--targets", str(targets), "--p95-ms", "39")[0] == 1
    says(p95=40.0, spot=0.5)
    assert validate(asked, "--targets", str(targets))[1]["spot_share"]["word"] == "violates"


def test_what_can_not_be_a_target(asked: Path, tmp_path: Path) -> None:
    for options, sentence in (
        ((), "there is no target"),
        (("--cost", "-1"), "no amount of money"),
        (("--cost", "NaN"), "no amount of money"),
        (("--availability", "2"), "can't be"),
        (("--window", "0d", "--cost", "1"), "24h or 7d"),
        (("--service", "x", "--p95-ms", "1"), "no .*sla.* section"),
    ):
        with pytest.raises(ValueError, match=sentence):
            validate(asked, *options)
    (tmp_path / "t.toml").write_text("p59_ms = 3")
    with pytest.raises(ValueError, match="did you mean 'p95_ms'"):
        validate(asked, "--targets", str(tmp_path / "t.toml"))


@settings(max_examples=100)
@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12), st.floats(0, 1), st.floats(0.1, 1))
def test_too_little_is_unknown_whatever_it_says(values: list[float], least: float, coverage: float) -> None:
    row = spot_row(least, dict(enumerate(values)), 10, coverage)
    known = [one for one in values if one == one]  # noqa: PLR0124 - not a NaN
    if len(known) < coverage * 10:
        assert (row.word, row.measured) == ("unknown", None)
    elif row.word == "ok":
        assert sum(known) / len(known) >= least - 1e-9


def test_costs_that_end_long_ago_are_unknown() -> None:
    days = (date(2026, 11, 1), date(2026, 11, 2))
    (row,) = cost_rows(Targets(cost=Decimal(9)), [], days, days[1] + timedelta(days=4))
    assert row.word == "unknown"
    assert "up to 2026-11-02 only" in row.sentence
