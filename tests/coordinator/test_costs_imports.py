"""Scheduled imports: when they are due, what is remembered of them, and what a broken source does."""

import logging
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.costing import DAY_MS, OCTOBER_MS, Source, a_charge, source

from tidewatt_coordinator.costs.imports import Imports, standings
from tidewatt_coordinator.costs.schedule import Standing, failed, next_ms, succeeded
from tidewatt_coordinator.costs.settings import Costs, Focus, Prometheus
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger

HOUR_MS = 3_600_000


@pytest.fixture
def ledger(new_ledger_url: Callable[[], str]) -> Iterator[Ledger]:
    ledger = Ledger(new_ledger_url(), 300_000)
    yield ledger
    ledger.close()


@pytest.fixture
def prometheus() -> Iterator[Source]:
    with source() as running:
        empty = {"status": "success", "data": {"resultType": "matrix", "result": []}}
        running.answers["/api/v1/query_range"] = empty
        yield running


@given(st.integers(1, 10**9), st.floats(0, 1), st.integers(0, 80))
def test_failures_are_tried_again_soon_then_seldom_and_never_later_than_usual(
    every_ms: int, chance: float, failures: int
) -> None:
    assert next_ms(Standing(source="s"), every_ms, chance) == 0, "at once when it never was"
    standing = succeeded(Standing(source="s"), 3, 1000)
    usual = next_ms(standing, every_ms, chance)
    assert 1000 + every_ms <= usual <= 1001 + 1.1 * every_ms
    before = 0
    for _ in range(failures):
        standing = failed(standing, "no\nmore", 1000)
        again = next_ms(standing, every_ms, chance)
        assert before <= again <= usual
        before = again
    assert standing.failures == failures
    assert standing.succeeded_ms == 1000
    assert standing.error == ("no" if failures else "")


def test_a_source_is_asked_when_it_is_due_and_a_failure_is_news_once(
    ledger: Ledger, prometheus: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    now = [OCTOBER_MS + DAY_MS]
    costs = Costs(prometheus=Prometheus(url=prometheus.url, first_days=1), import_every_h=6)
    one, other = (Imports(ledger, costs, lambda: now[0], lambda: 0.0) for _ in range(2))
    prometheus.status = 500
    assert one.round() == ["prometheus"]
    assert other.round() == [], "another coordinator sees that it was tried"
    now[0] += 300_000
    assert other.round() == ["prometheus"]
    assert standings(ledger)["prometheus"].failures == 2
    assert "answers 500" in standings(ledger)["prometheus"].error
    now[0] += 300_000
    assert one.round() == [], "each failure has it wait twice as long"
    prometheus.status = 200
    now[0] += 300_000
    assert one.round() == ["prometheus"]
    standing = standings(ledger)["prometheus"]
    assert (standing.failures, standing.error, standing.succeeded_ms) == (0, "", now[0])
    now[0] += 6 * HOUR_MS - 1
    assert one.round() == []
    now[0] += 1
    assert one.round() == ["prometheus"]
    told = [record.message for record in caplog.records]
    assert len([line for line in told if "import of prometheus" in line]) == 2
    values = {family.name: family.samples[0].value for family in one.families()}
    assert values["tidewatt_costs_import_last_success_timestamp_seconds"] == now[0] / 1000
    assert values["tidewatt_costs_import_failures"] == 0


def test_none_are_scheduled_if_so_told(ledger: Ledger, prometheus: Source) -> None:
    costs = Costs(prometheus=Prometheus(url=prometheus.url), import_every_h=0)
    assert Imports(ledger, costs, lambda: OCTOBER_MS).round() == []
    assert prometheus.asked == []


def test_a_missing_folder_is_a_failure_like_others(ledger: Ledger, tmp_path: Path) -> None:
    costs = Costs(focus=Focus(path=str(tmp_path / "none")))
    assert Imports(ledger, costs, lambda: OCTOBER_MS).round() == ["focus"]
    assert "none" in standings(ledger)["focus"].error


def test_the_store_says_the_same_on_both_databases(ledger: Ledger) -> None:
    store = Charges(ledger.engine)
    first = [
        a_charge(key=str(n), billed=Decimal(n) / 8, tags={"a": "\t"}, quantity=None) for n in range(2500)
    ]
    assert store.put(first, 1) == 2500
    assert store.put(first, 2) == 2500
    read = sorted(store.read(OCTOBER_MS, OCTOBER_MS + 1), key=lambda one: int(one.key))
    assert read == first
    assert store.replace("focus", ["x"], [("x", one) for one in first[:10]], 3) == 10
    assert store.replace("focus", ["x"], [("x", one) for one in first[5:8]], 4) == 3
    assert store.count("focus", "x") == 3
    (held,) = store.held()
    assert (held.charges, held.taken_ms) == (2500 - 7, 4)
    assert store.last_end("focus") == OCTOBER_MS + DAY_MS
    assert store.call("s", date(2026, 10, 1), 1)
    assert not store.call("s", date(2026, 10, 1), 1)
