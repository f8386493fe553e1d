"""Time and energy asleep: conserved in any order, kept from all that is measured, and a saving of its own."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.ledger.account import account
from tidewatt_coordinator.ledger.asleep import Asleep, days_of, on_day
from tidewatt_coordinator.ledger.baselines import DeviceModel
from tidewatt_coordinator.ledger.belief import judge
from tidewatt_coordinator.ledger.compared import compare_changed, sums_by_name
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.saved import saved
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import metadata
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_coordinator.reports.findings import energy_saved
from tidewatt_coordinator.web.view import policy_outcomes
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.messages import Counters, Gauges, Report

BUCKET = 300_000
START = 1_790_000_000_000 - 1_790_000_000_000 % DAY_MS + 20 * HOUR_MS
some = settings(
    max_examples=15, phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@pytest.fixture
def ledger(new_ledger_url: Callable[[], str]) -> Iterator[Ledger]:
    ledger = Ledger(new_ledger_url(), BUCKET)
    yield ledger
    ledger.close()


def report(device: str, epoch: str, seq: int, at_ms: int, asleep_mj: int, **more: int) -> Report:
    energy_mj, modes = more.pop("energy_mj", 0), more
    counters = Counters(energy_mj=energy_mj, asleep_mj=asleep_mj, mode_ms=modes)
    return Report(
        device=device, session="s", epoch=epoch, seq=seq, at_ms=at_ms, counters=counters, gauges=Gauges()
    )


@st.composite
def nights(draw: st.DrawFn) -> list[Report]:
    reports = []
    for device, epoch in (("a", "1"), ("a", "2"), ("b", "1"), ("never", "1")):
        at_ms, asleep_ms, asleep_mj = START, 0, 0
        for seq in range(draw(st.integers(0, 6))):
            # Naps, silences of days, and a clock that is set back.
            at_ms += draw(st.sampled_from([1_800_000, 5 * HOUR_MS, 3 * DAY_MS, -2 * HOUR_MS]))
            nap_ms = 0 if device == "never" else draw(st.integers(0, 1_800_000))
            asleep_ms, asleep_mj = asleep_ms + nap_ms, asleep_mj + nap_ms // 2
            modes = {"asleep": asleep_ms} if asleep_ms else {}
            reports.append(report(device, epoch, seq, at_ms, asleep_mj, **modes))
    return reports


@some
@given(nights(), st.integers(0, 10**6))
def test_naps_are_conserved_whatever_order_reports_come_in(
    ledger: Ledger, night: list[Report], seed: int
) -> None:
    chance = random.Random(seed)
    books = []
    for _ in range(2):
        with ledger.engine.begin() as connection:
            for table in metadata.sorted_tables:
                if table.name not in {"ledger_fact", "audit_entry", "audit_head"}:
                    connection.execute(delete(table))
        for begin in range(0, len(night), 3):
            ledger.take([*night[begin : begin + 3], *chance.sample(night, len(night) // 3)])
        lives = {(one.device, one.epoch) for one in night}
        with ledger.engine.connect() as connection:
            by_day = {life: days_of(connection, life) for life in sorted(lives)}
            stretch = sorted({day for days in by_day.values() for day in days})
            on_days = {day: on_day(connection, day) for day in stretch}
        books.append((ledger.asleep(), by_day, on_days))
        chance.shuffle(night)
    assert books[0] == books[1]
    totals, by_day, on_days = books[0]
    for device in {one.device for one in night}:
        last: dict[str, Asleep] = {}
        for one in night:
            said = Asleep(one.counters.asleep_mj, one.counters.mode_ms.get("asleep", 0))
            if one.device == device:
                last[one.epoch] = max(said, last.get(one.epoch, Asleep()), key=lambda it: it.ms)
        expected = sum(one.ms for one in last.values()), sum(one.energy_mj for one in last.values())
        mine = totals.get(device, Asleep())
        assert (mine.ms, mine.energy_mj) == expected
        days = [one for life, some in by_day.items() if life[0] == device for one in some.values()]
        assert (sum(one.ms for one in days), sum(one.energy_mj for one in days)) == expected
        assert all(one.ms >= 0 and one.energy_mj >= 0 for one in days)
        assert sum(day[device].ms for day in on_days.values() if device in day) == expected[0]
    assert "never" not in totals


def test_what_sleep_saves_is_told_apart_from_what_modes_save(ledger: Ledger, profile: BoardProfile) -> None:
    model = DeviceModel(profile.points, profile.vendor_default, 60.0)
    lean = min(point.idle_watts for point in profile.points)
    # Two hours: one awake at 6 W, one asleep at 0.5 W; counted in no energy but its own.
    ledger.take(
        [
            report("a", "1", 1, START, 0, energy_mj=0, **{"7W": 1}),
            report("a", "1", 2, START + HOUR_MS, 0, energy_mj=6 * HOUR_MS, **{"7W": HOUR_MS}),
            report("a", "1", 3, START + 2 * HOUR_MS, HOUR_MS // 2, energy_mj=6 * HOUR_MS,
                   **{"7W": HOUR_MS, "asleep": HOUR_MS}),
        ]
    )  # fmt: skip
    roll_up(ledger)
    compare_changed(ledger, lambda _: model)
    drawn = account(ledger, load_tariff(""))
    assert drawn.total("energy_mj") == 6 * HOUR_MS, "measured is what was measured"
    assert drawn.asleep == Asleep(HOUR_MS // 2, HOUR_MS)
    assert drawn.sleep_saved_mj == pytest.approx((lean - 0.5) * HOUR_MS, rel=1e-6)
    assert drawn.baselines
    shown, against_mj = policy_outcomes(drawn)["max_freq"], drawn.baselines.max_freq.energy_mj
    assert shown.saving_share is not None
    assert shown.sleep_saving_share is not None
    assert shown.saving_share == pytest.approx(1 - 6.5 * HOUR_MS / against_mj)
    modes_mj = against_mj - 6 * HOUR_MS - lean * HOUR_MS  # awake all the time, in the leanest mode meanwhile
    assert shown.saving_share - shown.sleep_saving_share == pytest.approx(modes_mj / against_mj)
    parts = saved(sums_by_name(ledger))
    assert parts
    assert parts.by_sleep_mj == drawn.sleep_saved_mj
    assert parts.by_modes_mj + parts.by_sleep_mj + parts.asleep_mj + 6 * HOUR_MS == parts.against_mj
    assert saved({}) is None
    assert saved(sums_by_name(ledger, START - 3 * DAY_MS, START - DAY_MS)) is None, "another month"
    (said,) = energy_saved(parts)
    assert f"and sleep {(lean - 0.5) / 1000:.3f} kWh (1.0 h asleep" in said
    ledger.take([report("a", "1", 2, START + HOUR_MS, 0, energy_mj=6 * HOUR_MS, **{"7W": HOUR_MS})])
    roll_up(ledger)
    compare_changed(ledger, lambda _: model)
    assert account(ledger, load_tariff("")) == drawn, "told again is told once"


def test_what_nobody_has_measured_asleep_is_assumed_and_said_to_be(
    ledger: Ledger, profile: BoardProfile
) -> None:
    model = DeviceModel(profile.points, profile.vendor_default, 60.0)
    lean = min(point.idle_watts for point in profile.points)
    for device, asleep_mj in (("a", 0), ("b", HOUR_MS)):
        awake = report(device, "1", 1, START, 0, energy_mj=0, **{"7W": 1})
        slept = report(
            device, "1", 2, START + HOUR_MS, asleep_mj, energy_mj=0, **{"7W": 1, "asleep": HOUR_MS}
        )
        ledger.take([awake, slept])
    roll_up(ledger)
    compare_changed(ledger, lambda _: model)
    parts, drawn = saved(sums_by_name(ledger)), account(ledger, load_tariff(""))
    assert parts
    assert (parts.assumed_mj, parts.assumed_ms) == (HOUR_MS // 2, HOUR_MS), "half a watt of the first alone"
    assert parts.asleep_mj == HOUR_MS // 2 + HOUR_MS
    assert parts.by_sleep_mj == pytest.approx((2 * lean - 1.5) * HOUR_MS, rel=1e-6)
    assert drawn.asleep == Asleep(HOUR_MS, 2 * HOUR_MS), "what was counted stays what was counted"
    assert (drawn.assumed.energy_mj, drawn.assumed.lived_ms) == (parts.assumed_mj, parts.assumed_ms)
    (said,) = energy_saved(parts)
    assert said.endswith("Of 1.0 h asleep nobody has measured the watts: 0.5 W are assumed.")


def test_the_command_lists_who_slept(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path}/l.db"\n')
    ask = ["ledger", "asleep", "--config", str(file)]
    assert CliRunner().invoke(app, ask).stdout == "no board has slept yet\n"
    ledger = Ledger(f"sqlite:///{tmp_path}/l.db", BUCKET)
    ledger.take([report("a", "1", 1, START, 3_600_000, asleep=2 * HOUR_MS)])
    ledger.close()
    assert CliRunner().invoke(app, ask).stdout == "a  2.0 h  1.0 Wh\n"
    said = json.loads(CliRunner().invoke(app, [*ask, "--json"]).stdout)
    assert said["devices"] == [{"device": "a", "asleep_mj": 3600000, "asleep_ms": 7200000}]
    assert said["saved"] is None


def test_no_board_sleeps_with_more_than_it_can_draw() -> None:
    good = report("a", "1", 1, START, HOUR_MS, asleep=HOUR_MS)
    assert judge(good, None, START) is None
    for bad in (
        report("a", "1", 1, START, HOUR_MS),
        report("a", "1", 1, START, 10**9, asleep=1),
        report("a", "1", 1, START, 0, asleep=2**60),
    ):
        wrong = judge(bad, None, START)
        assert wrong
        assert wrong.code == "beyond_belief"
