"""Rolled up in whatever order and by however many: hours, days and sites that sum to the counters."""

import random
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete, select

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, bucket_of, slices
from tidewatt_coordinator.ledger.daybook import place
from tidewatt_coordinator.ledger.keeping import detail_from, forget, months, part
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import (
    day_use,
    device_bucket,
    device_life,
    hour_use,
    metadata,
    mode_bucket,
    site_day,
)
from tidewatt_coordinator.ledger.use import hours, site_days
from tidewatt_wire.messages import Counters, Gauges, Report

BUCKET = 300_000
START = 1_790_000_000_000 - 1_790_000_000_000 % DAY_MS + 20 * HOUR_MS
Url = Callable[[], str]


def report(device: str, epoch: str, seq: int, at_ms: int, energy_mj: int, requests: int = 0) -> Report:
    counters = Counters(energy_mj=energy_mj, requests=requests, mode_ms={"15W": seq * 1000})
    return Report(
        device=device, session="s", epoch=epoch, seq=seq, at_ms=at_ms, counters=counters, gauges=Gauges()
    )


@st.composite
def streams(draw: st.DrawFn) -> list[Report]:
    """Reports of some lives, each in order: minutes, hours and days apart, at times by a clock set back."""
    reports = []
    for device, epoch in draw(
        st.lists(st.sampled_from([("a", "1"), ("a", "2"), ("b", "1")]), min_size=1, unique=True)
    ):
        at_ms, energy_mj, requests = START + draw(st.integers(0, 2 * HOUR_MS)), 0, 0
        for seq in range(draw(st.integers(1, 14))):
            energy_mj += draw(st.integers(0, 10**7))
            requests += draw(st.integers(0, 10**4))
            reports.append(report(device, epoch, seq, at_ms, energy_mj, requests))
            at_ms += draw(
                st.sampled_from(
                    [1, 7_001, 61_000, BUCKET, 1_000_003, HOUR_MS, 5 * HOUR_MS, DAY_MS + 1, -900_000]
                )
            )
    return reports


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    ledger = Ledger(url, BUCKET)
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def pair(new_ledger_url: Url) -> Iterator[tuple[Ledger, Ledger]]:
    with opened(new_ledger_url()) as one, opened(new_ledger_url()) as other:
        yield one, other


def emptied(ledgers: tuple[Ledger, Ledger]) -> tuple[Ledger, Ledger]:
    """Both without a row but for the facts: an example needs no database of its own."""
    for ledger in ledgers:
        with ledger.engine.begin() as connection:
            for table in (device_bucket, mode_bucket, device_life, hour_use, day_use, site_day):
                connection.execute(delete(table))
    return ledgers


def book(ledger: Ledger) -> dict[str, object]:
    """All that the ledger says."""
    with ledger.engine.connect() as connection:
        days = sorted(
            tuple(row) for row in connection.execute(select(*(c for c in day_use.c if c.name != "site")))
        )
        rolled = sorted(tuple(row) for row in connection.execute(select(hour_use)))
    return {
        "totals": ledger.totals(),
        "lives": sorted(ledger.lives(), key=lambda life: (life.device, life.epoch)),
        "hours": rolled,
        "days": days,
        "sites": site_days(ledger, 0, 2**62),
    }


def check_conserved(ledger: Ledger) -> None:
    """Hours are the buckets' sums by the arithmetic; all sums are the devices' own counters."""
    expected: dict[tuple[int, str, str], tuple[int, ...]] = {}
    fine: dict[tuple[int, str, str], tuple[int, ...]] = {}
    for life in ledger.lives():
        for piece in slices(life.spans, HOUR_MS):
            expected[piece.start_ms, life.device, life.epoch] = piece.values
        for piece in slices(life.spans, BUCKET):
            key = (bucket_of(piece.start_ms, HOUR_MS), life.device, life.epoch)
            fine[key] = tuple(map(sum, zip(fine.get(key, (0,) * len(COUNTERS)), piece.values, strict=True)))
    assert {k: v for k, v in fine.items() if any(v)} == {k: v for k, v in expected.items() if any(v)}
    with ledger.engine.connect() as connection:
        kept = {(h, d, e): tuple(values) for h, d, e, *values in connection.execute(select(hour_use))}
    assert {k: v for k, v in kept.items() if any(v)} == {k: v for k, v in expected.items() if any(v)}
    totals = [sum(total.values[i] for total in ledger.totals()) for i in range(len(COUNTERS))]
    rolled = site_days(ledger, 0, 2**62)
    assert [sum(day.values[i] for day in rolled) for i in range(len(COUNTERS))] == totals
    assert sum(hour.energy_mj for hour in hours(ledger, 0, 2**62)) == totals[0]
    by_day = Tally[tuple[str, int]]()
    for hour in hours(ledger, 0, 2**62):
        by_day[hour.device, bucket_of(hour.hour_ms, DAY_MS)] += hour.energy_mj
    with ledger.engine.connect() as connection:
        days = Tally[tuple[str, int]]()
        for row in connection.execute(select(day_use)).mappings():
            days[row["device"], row["day_ms"]] += row["energy_mj"]
    assert +by_day == +days


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@given(streams(), st.data())
@examples(25)
def test_any_order_duplication_and_steps_give_the_identical_ledger(
    pair: tuple[Ledger, Ledger], stream: list[Report], data: st.DataObject
) -> None:
    chance = random.Random(data.draw(st.integers(0, 10**6)))
    delivered = stream + chance.choices(stream, k=5)
    chance.shuffle(delivered)
    straight, stepwise = emptied(pair)
    straight.take(stream)
    roll_up(straight)
    check_conserved(straight)
    step = data.draw(st.integers(1, 6))
    for start in range(0, len(delivered), step):
        stepwise.take(delivered[start : start + step])
        if data.draw(st.booleans()):
            roll_up(stepwise)
    roll_up(stepwise)
    check_conserved(stepwise)
    ours, theirs = book(stepwise), book(straight)
    for name in ("totals", "lives", "days", "sites"):
        assert ours[name] == theirs[name], name
    assert ours["hours"] == theirs["hours"]


@given(streams(), st.data())
@examples(15)
def test_what_is_lost_is_in_a_later_report(
    pair: tuple[Ledger, Ledger], stream: list[Report], data: st.DataObject
) -> None:
    last = {(one.device, one.epoch): one for one in stream}
    kept = [one for one in stream if one is last[one.device, one.epoch] or data.draw(st.booleans())]
    whole, lossy = emptied(pair)
    whole.take(stream)
    lossy.take(kept)
    roll_up(lossy)
    check_conserved(lossy)
    assert lossy.totals() == whole.totals()


def busy(devices: int, reports: int) -> list[Report]:
    chance = random.Random(5)
    made = []
    for device in range(devices):
        energy = 0
        for seq in range(reports):
            energy += chance.randrange(10**6)
            made.append(report(f"d{device}", "e", seq, START + seq * 97_000, energy, seq))
    return made


def written_at_once(url: str, orders: list[list[Report]], size: int) -> None:
    """Each order by a replica of its own, `size` reports at a time; the first to break is raised."""
    broken: list[BaseException] = []

    def replica(mine: list[Report]) -> None:
        try:
            with opened(url) as ledger:
                for start in range(0, len(mine), size):
                    ledger.take(mine[start : start + size])
                    roll_up(ledger)
        except BaseException as error:  # noqa: BLE001 - raised below
            broken.append(error)

    threads = [threading.Thread(target=replica, args=(mine,)) for mine in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in broken:
        raise error


def shuffled(stream: list[Report], chance: random.Random) -> list[Report]:
    """All of it and a quarter twice, in any order."""
    mine = stream + chance.choices(stream, k=len(stream) // 4 + 1)
    chance.shuffle(mine)
    return mine


@given(streams(), st.integers(0, 10**6), st.integers(1, 6))
@examples(8)
def test_two_replicas_write_any_stream_at_once_into_the_identical_ledger(
    pair: tuple[Ledger, Ledger], stream: list[Report], seed: int, size: int
) -> None:
    alone, shared = emptied(pair)
    alone.take(stream)
    roll_up(alone)
    chance = random.Random(seed)
    url = shared.engine.url.render_as_string(hide_password=False)
    written_at_once(url, [shuffled(stream, chance), shuffled(stream, chance)], size)
    roll_up(shared)
    assert book(shared) == book(alone)


def test_two_replicas_writing_a_long_stream_at_once(new_ledger_url: Url) -> None:
    stream, url, chance = busy(40, 60), new_ledger_url(), random.Random(1)
    with opened(new_ledger_url()) as alone:
        alone.take(stream)
        roll_up(alone)
        expected = book(alone)
    with opened(url) as ledger:
        written_at_once(url, [shuffled(stream, chance), shuffled(stream, chance)], 150)
        roll_up(ledger)
        assert book(ledger) == expected
        check_conserved(ledger)


def test_migrations_make_the_tables_the_code_names_on_both(new_ledger_url: Url) -> None:
    url = new_ledger_url()
    with opened(url) as ledger:
        part(ledger, START)
    engine = create_engine(url)
    with engine.connect() as connection:
        parts = {
            "include_name": lambda name, kind, _: (
                kind != "table" or name in metadata.tables or name == "alembic_version"
            )
        }
        assert compare_metadata(MigrationContext.configure(connection, opts=parts), metadata) == []
    engine.dispose()


def test_rolling_up_again_changes_nothing(new_ledger_url: Url) -> None:
    with opened(new_ledger_url()) as ledger:
        ledger.take(busy(3, 50))
        assert roll_up(ledger) == 3
        before = book(ledger)
        assert roll_up(ledger) == 0
        ledger.take(busy(3, 50)[:20])
        assert roll_up(ledger) == 1, "only the life that was told of again"
        assert book(ledger) == before


def test_days_belong_to_the_site_where_the_device_stood(new_ledger_url: Url) -> None:
    noon = START - 8 * HOUR_MS
    with opened(new_ledger_url()) as ledger:
        ledger.take([report("a", "e", 1, noon, 100)])
        roll_up(ledger)
        assert [(day.site, day.values[0]) for day in site_days(ledger, 0, 2**62)] == [("", 100)]
        assert place(ledger, {"a": "Berlin"}) == 1
        assert place(ledger, {"a": "Berlin"}) == 0
        assert [(d.site, d.values[0]) for d in site_days(ledger, 0, 2**62) if any(d.values)] == [
            ("Berlin", 100)
        ]
        place(ledger, {"a": "Paris"})
        ledger.take([report("a", "e", 2, noon + 60_000, 150), report("a", "e", 3, noon + DAY_MS, 400)])
        roll_up(ledger)
        by_site = Tally[str]()
        for day in site_days(ledger, 0, 2**62):
            by_site[day.site] += day.values[0]
        assert sum(by_site.values()) == 400
        assert by_site["Berlin"] >= 150, "the day on which it moved stays where it began"
        assert by_site["Paris"] > 0
        check_conserved(ledger)


def test_old_detail_goes_and_every_sum_stays(new_ledger_url: Url) -> None:
    stream = [report("a", "e", n, START + n * HOUR_MS, 1000 * n) for n in range(1, 24 * 6)]
    with opened(new_ledger_url()) as ledger:
        part(ledger, START)
        ledger.take(stream)
        ledger.take([report("gone", "e", 1, START, 77)])
        roll_up(ledger)
        totals, sites = ledger.totals(), site_days(ledger, 0, 2**62)
        cut = forget(ledger, START + 3 * DAY_MS)
        assert cut == detail_from(ledger) == bucket_of(START + 3 * DAY_MS, DAY_MS)
        with ledger.engine.connect() as connection:
            oldest = connection.execute(
                select(device_bucket.c.bucket_ms).order_by(device_bucket.c.bucket_ms)
            ).scalar()
        assert oldest is not None
        assert oldest >= cut
        assert (ledger.totals(), site_days(ledger, 0, 2**62)) == (totals, sites)
        ledger.take([report("gone", "e", 2, START + 9 * DAY_MS, 100)])
        ledger.take([report("a", "e", 900, START + 4 * DAY_MS + 5, 1000 * 96)])  # late, within what is kept
        roll_up(ledger)
        days = {day.day_ms: day.values[0] for day in site_days(ledger, START + 9 * DAY_MS - DAY_MS, 2**62)}
        assert sum(days.values()) == 23
        assert sum(day.values[0] for day in site_days(ledger, 0, 2**62)) == sum(
            total.values[0] for total in ledger.totals()
        )


def test_partitions_take_over_what_came_before_them(new_ledger_url: Url) -> None:
    with opened(new_ledger_url()) as ledger:
        ledger.take(busy(2, 30))
        roll_up(ledger)
        before = book(ledger)
        for _ in range(2):
            part(ledger, START)
            part(ledger, START + 31 * DAY_MS)
        assert book(ledger) == before
        ledger.take([report("d0", "e", 99, months(START)[1][0] + 5, 10**9)])
        roll_up(ledger)
        check_conserved(ledger)


@pytest.mark.parametrize("bucket_ms", [1000, 7 * 60_000, 2 * HOUR_MS])
def test_buckets_that_fit_no_hour_sum_all_the_same(new_ledger_url: Url, bucket_ms: int) -> None:
    ledger = Ledger(new_ledger_url(), bucket_ms)
    for some in (busy(2, 80)[::2], busy(2, 80)[1::2]):
        ledger.take(some)
        roll_up(ledger)
    assert sum(hour.energy_mj for hour in hours(ledger, 0, 2**62)) == sum(
        t.values[0] for t in ledger.totals()
    )
    ledger.close()
