"""Fixed modes compared day by day: the same in any order and steps, and what one reckoning gives."""

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from tidewatt_coordinator.ledger.account import account
from tidewatt_coordinator.ledger.baselines import DeviceModel, compare
from tidewatt_coordinator.ledger.compared import compare_changed, sums_by_name, trim, waiting
from tidewatt_coordinator.ledger.keeping import forget
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.stretches import stretches
from tidewatt_coordinator.ledger.tables import compared_day, compared_life, metadata
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.messages import Counters, Gauges, Report

BUCKET = 300_000
START = 1_790_000_000_000 - 1_790_000_000_000 % DAY_MS + 20 * HOUR_MS


@pytest.fixture
def ledger(new_ledger_url: Callable[[], str]) -> Iterator[Ledger]:
    ledger = Ledger(new_ledger_url(), BUCKET)
    yield ledger
    ledger.close()


@pytest.fixture
def model(profile: BoardProfile) -> DeviceModel:
    return DeviceModel(profile.points, profile.vendor_default, 60.0)


def report(
    device: str, epoch: str, seq: int, at_ms: int, energy_mj: int, requests: int, **modes: int
) -> Report:
    counters = Counters(energy_mj=energy_mj, requests=requests, mode_ms=modes)
    return Report(
        device=device, session="s", epoch=epoch, seq=seq, at_ms=at_ms, counters=counters, gauges=Gauges()
    )


@st.composite
def streams(draw: st.DrawFn, steps: tuple[int, ...]) -> list[Report]:
    reports = []
    for device, epoch in (("a", "1"), ("a", "2"), ("b", "1"), ("unknown", "1")):
        at_ms, energy_mj, requests, modes = START + draw(st.integers(0, HOUR_MS)), 0, 0, {"7W": 0, "15W": 0}
        for seq in range(draw(st.integers(0, 8))):
            reports.append(report(device, epoch, seq, at_ms, energy_mj, requests, **modes))
            step = draw(st.sampled_from(steps))
            at_ms += step
            energy_mj += draw(st.integers(0, 10**7))
            requests += max(0, step) * draw(st.integers(0, 100)) // 1000  # what every mode carries
            modes[draw(st.sampled_from(["7W", "15W"]))] += max(0, step)
    return reports


def emptied(ledger: Ledger) -> Ledger:
    with ledger.engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name not in {"ledger_fact", "audit_entry", "audit_head"}:
                connection.execute(delete(table))
    return ledger


def book(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    with ledger.engine.connect() as connection:
        for table in (compared_day, compared_life):
            rows = (tuple(row) for row in connection.execute(select(table)))
            found[table.name] = sorted(row for row in rows if any(row[2:]))
    return found


EXAMPLES = settings(
    max_examples=15,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@EXAMPLES
@given(
    stream=streams((1, 61_000, BUCKET, 1_000_003, 5 * HOUR_MS, DAY_MS + 1, -900_000)),
    seed=st.integers(0, 999),
    steps=st.integers(1, 4),
)
def test_any_order_and_any_steps_give_the_identical_comparison(
    ledger: Ledger, model: DeviceModel, stream: list[Report], seed: int, steps: int
) -> None:
    models = {"a": model, "b": model}
    emptied(ledger).take(stream)
    roll_up(ledger)
    compare_changed(ledger, models.get)
    expected = book(ledger)
    shuffled = stream * 2
    random.Random(seed).shuffle(shuffled)
    emptied(ledger)
    for step in range(steps):
        ledger.take(shuffled[step::steps])
        roll_up(ledger)
        compare_changed(ledger, models.get)
    assert book(ledger) == expected
    assert compare_changed(ledger, models.get) == 0, "nothing is done twice"
    of_known = sum(one.values[0] for one in ledger.totals() if one.device in models)
    assert account(ledger, load_tariff("")).compared_mj == of_known


@EXAMPLES
@given(stream=streams((1, 61_000, BUCKET, 1_000_003, 5 * HOUR_MS)))
def test_it_is_what_one_reckoning_over_all_buckets_gives(
    ledger: Ledger, model: DeviceModel, stream: list[Report]
) -> None:
    emptied(ledger).take(stream)
    roll_up(ledger)
    compare_changed(ledger, {"a": model, "b": model}.get)
    fleet = {
        f"{life.device} {life.epoch}": (model, list(stretches(life, BUCKET)))
        for life in ledger.lives()
        if life.device != "unknown"
    }
    drawn = account(ledger, load_tariff(""))
    if not fleet:
        assert drawn.baselines is None
        return
    expected = compare(fleet)
    assert drawn.baselines is not None
    # A bucket in which a day ends is two stretches here; and whole millijoules are rounded day by day.
    assert drawn.baselines.modelled_mj == pytest.approx(expected.modelled_mj, rel=0.01, abs=10)
    assert drawn.baselines.max_freq.energy_mj == pytest.approx(expected.max_freq.energy_mj, rel=0.01, abs=10)


def test_detail_that_is_gone_changes_no_sum(ledger: Ledger, model: DeviceModel) -> None:
    reports = [
        report("a", "1", n, START + n * BUCKET, n * 10**6, n * 1000, **{"15W": n * BUCKET})
        for n in range(5 * 288)
    ]
    ledger.take(reports[:1000])
    roll_up(ledger)
    compare_changed(ledger, {"a": model}.get)
    forget(ledger, START + 2 * DAY_MS)
    before = sums_by_name(ledger)
    trim(ledger)
    assert sums_by_name(ledger) == before
    ledger.take(reports[1000:])
    roll_up(ledger)
    assert waiting(ledger, 5) == 1
    compare_changed(ledger, {"a": model}.get)
    assert waiting(ledger, 5) == 0
    assert sums_by_name(ledger)["measured"].energy_mj == (5 * 288 - 1) * 10**6
    assert sums_by_name(ledger)["at 15W"].lived_ms == pytest.approx((5 * 288 - 1) * BUCKET, rel=1e-6)
