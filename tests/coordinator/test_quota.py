"""A device that floods the coordinator costs itself its reports, and the others nothing."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.quota import BREATH, FIRST_LOOK, Quota
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Counters, Gauges, Report


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from("ab")), max_size=200),
    st.integers(1, 20),
    st.sampled_from([0.5, 3.0, 20.0]),
)
def test_nobody_gets_more_than_his_pace_and_who_keeps_it_gets_all(
    steps: list[tuple[int, str]], breath: int, per_s: float
) -> None:
    quota, now_ms = Quota(per_s, breath), 1_000_000
    taken: dict[str, list[int]] = {"a": [], "b": []}
    for step_ms, device in steps:
        now_ms += step_ms
        if quota.may(device, "report", now_ms):
            taken[device].append(now_ms)
    for times in taken.values():
        for first, start_ms in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= breath + (times[last] - start_ms) / 1000 * per_s + 1e-6
    steady = Quota(per_s, breath + 1)
    assert all(steady.may("c", "report", 1_000_000 + round(n * 1000 / per_s) + 1) for n in range(100))


def test_a_clock_set_back_silences_nobody() -> None:
    quota = Quota()
    for _ in range(BREATH):
        quota.may("a", "report", 10**9)
    assert not quota.may("a", "report", 10**9)
    assert quota.may("a", "report", 10**9 - 3_600_000)


def test_only_who_spoke_lately_is_remembered() -> None:
    quota = Quota()
    for number in range(50_000):
        assert quota.may(f"d{number}", "report", number)  # a thousand devices a second
    assert len(quota) <= FIRST_LOOK + 1


def test_a_flood_costs_the_others_nothing(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
    now_ms = [1_763_700_000_000]
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", Fleet(60_000), ledger, lambda: now_ms[0])
    ingest._quota = Quota(2.0, 50)

    def say(device: str, seq: int) -> None:
        report = Report(
            device=device,
            session="s",
            epoch="e",
            seq=seq,
            at_ms=now_ms[0],
            counters=Counters(energy_mj=seq),
            gauges=Gauges(),
        )
        ingest.take(f"tidewatt/v1/f/device/{device}/report", encode(report))

    for second in range(1, 11):
        now_ms[0] += 1000
        say("b", second)
        for number in range(100):
            say("a", second * 1000 + number)
    assert ingest.refused == {"too_many": 1000 - 50 - 9 * 2}
    # He who floods can't have his last word kept from the fleet by it, and his totals are in it.
    now_ms[0] += 60_000
    say("a", 20_000)
    ingest.intake.take(ingest._waiting)
    assert sum(total.values[0] for total in ledger.totals()) == 20_000 + 10
    ledger.close()
