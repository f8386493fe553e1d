"""What can't be true is kept aside with its reason; the ledger never goes down, and loses nothing true."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_coordinator.ledger.adhoc import HourCopy
from tidewatt_coordinator.ledger.belief import Believed, believed, judge
from tidewatt_coordinator.ledger.daybook import place
from tidewatt_coordinator.ledger.intake import MOST_KEPT, Intake, in_quarantine
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.use import hours
from tidewatt_wire.messages import Counters, Gauges, Report

NOW = 1_790_000_000_000


def report(
    seq: int = 1,
    energy_mj: int = 0,
    at_ms: int = NOW,
    watts: float | None = None,
    epoch: str = "e",
    mode: str = "15W",
) -> Report:
    return Report(
        device="d",
        session="s",
        epoch=epoch,
        seq=seq,
        at_ms=at_ms,
        counters=Counters(energy_mj=energy_mj, mode_ms={mode: 1}),
        gauges=Gauges(watts=watts),
    )


BEFORE = Believed(5, NOW - 1000, (1000, 0, 0, 0, 0, 0))
WRONG = [
    (report(at_ms=86_400_000), "clock_past", "its clock is 20,716.6 days behind ours"),
    (report(at_ms=4_300_000_000_000), "clock_future", "its clock is 29,050.9 days ahead of ours"),
    (report(watts=-3.5), "negative", "its watts is -3.5, less than nothing"),
    (report(watts=float("nan")), "not_a_number", "its watts is nan"),
    (report(watts=float("inf")), "not_a_number", "its watts is inf"),
    (report(energy_mj=2**53), "beyond_belief", "is more than a board counts in 20 years"),
    (report(epoch="e" * 65), "name", "is no name of 1 to 64 printable characters"),
    (report(mode="1\x005W"), "name", "its mode '1\\x005W' is no name"),
    (report(seq=6, energy_mj=999), "backwards", "went from 1,000 back to 999 without a new counter epoch"),
    (report(seq=6, energy_mj=10**12), "beyond_belief", "its energy_mj grew by 999,999,999,000 in 1 s"),
]


@pytest.mark.parametrize(("wrong", "code", "sentence"), WRONG)
def test_each_untruth_has_its_code_and_sentence(wrong: Report, code: str, sentence: str) -> None:
    found = judge(wrong, BEFORE, NOW)
    assert found is not None
    assert found.code == code
    assert sentence in found.reason


@pytest.mark.parametrize(
    "good",
    [
        report(seq=6, energy_mj=61_000),
        report(seq=4, energy_mj=1),  # only late
        report(at_ms=NOW - 30 * DAY_MS),
        report(at_ms=NOW + HOUR_MS),
        report(seq=6, energy_mj=2000, at_ms=NOW - 2 * HOUR_MS),  # a clock set back
        report(watts=0.0),
    ],
)
def test_what_may_be_true_is_believed(good: Report) -> None:
    assert judge(good, BEFORE, NOW) is None


def test_all_of_it_is_kept_aside_once_and_the_rest_is_merged(new_ledger_url: Callable[[], str]) -> None:
    ledger = Ledger(new_ledger_url(), 300_000)
    intake = Intake(ledger, lambda: NOW)
    bad = [wrong for wrong, _, _ in WRONG]
    for _ in range(2):
        intake.take([report(seq=5, energy_mj=1000, at_ms=NOW - 1000), *bad, report(seq=7, energy_mj=2000)])
    assert ledger.totals()[0].values[0] == 2000
    aside = in_quarantine(ledger, "d")
    # JSON has one word for both that are not finite, so they are one message.
    assert sorted([*(one.code for one in aside), "not_a_number"]) == sorted(code for _, code, _ in WRONG)
    assert all(one.reason for one in aside)
    assert sum(intake.quarantined.values()) >= 2 * len(WRONG) - 1  # one is only late by then
    intake.take([report(seq=seq, watts=-1.0 - seq) for seq in range(300)])
    assert len(in_quarantine(ledger, "d")) == MOST_KEPT
    ledger.close()


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30), st.integers(0, 10**6))
def test_no_order_of_true_reports_makes_one_untrue(growths: list[int], seed: int) -> None:
    energy, stream = 0, []
    for seq, growth in enumerate(growths):
        energy += growth
        stream.append(report(seq=seq, energy_mj=energy, at_ms=NOW + seq * 10_000))
    random.Random(seed).shuffle(stream)
    before: Believed | None = None
    for one in stream:
        assert judge(one, before, NOW) is None
        if before is None or one.seq > before.seq:
            before = believed(one)


def test_the_copy_of_the_hours_answers_as_the_ledger_does(
    new_ledger_url: Callable[[], str], tmp_path: Path
) -> None:
    ledger = Ledger(new_ledger_url(), 300_000)
    stream = [
        msgspec.structs.replace(report(n, 1000 * n, NOW + n * HOUR_MS), device=device)
        for device in ("a", 'b",\n', "c")
        for n in range(1, 60)
    ]
    place(ledger, {"a": "Berlin", "c": "Paris, north"})
    ledger.take(stream)
    roll_up(ledger)
    copy = HourCopy(ledger, tmp_path / "hours")
    assert copy.refresh() == 4
    assert copy.refresh() == 0
    expected = {(one.device, one.hour_ms): one.energy_mj for one in hours(ledger, 0, 2**62) if one.energy_mj}
    found = {row[:2]: row[2] for row in copy.group(["device", "hour"], 0, 2**62) if row[2]}
    assert found == expected
    assert [row[:2] for row in copy.group(["site"], 0, 2**62)] == [
        ("", 59_000), ("Berlin", 59_000), ("Paris, north", 59_000),
    ]  # fmt: skip
    from_ms, to_ms = NOW + 10 * HOUR_MS, NOW + 30 * HOUR_MS
    assert copy.group([], from_ms, to_ms)[0][0] == sum(
        energy for (_, hour_ms), energy in expected.items() if from_ms <= hour_ms < to_ms
    )
    ledger.take([msgspec.structs.replace(stream[-1], seq=99, at_ms=stream[-1].at_ms + 5, device="a")])
    ledger.take([report(200, 7, NOW + 70 * HOUR_MS)])
    roll_up(ledger)
    assert copy.refresh() == 1, "only the day that is new"
    assert copy.group([], 0, 2**62)[0][0] == sum(total.values[0] for total in ledger.totals())
    sums = sorted((tmp_path / "hours" / "days").iterdir())
    assert [one.name for one in sums] == sorted(one.name for one in (tmp_path / "hours").glob("*.parquet"))
    asked = [
        (by, *span)
        for by in ([], ["device", "day"], ["site", "weekday"], ["month", "device"], ["hour_of_day"])
        for span in ((0, 2**62), (from_ms, to_ms), (from_ms // DAY_MS * DAY_MS, to_ms))
    ]
    by_sums = [list(copy.group(*one)) for one in asked]
    for one in sums:
        one.unlink()  # as in a copy that was made before there were any
    assert [list(copy.group(*one)) for one in asked] == by_sums
    with pytest.raises(ValueError, match=r"can't group by 'colour'; by any of device, site, hour"):
        copy.group(["colour"], 0, 1)
    ledger.close()
