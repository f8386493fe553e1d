"""Conservation: whatever order, duplication or loss, the ledger says what the device counted."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tidewatt_coordinator.ledger.arithmetic import (
    LONGEST_SPREAD_MS,
    Span,
    bucket_of,
    merge,
    slices,
    span_of,
)

BUCKET = 60_000


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, tuple[int, int]]]:
    """Reports of one device: times and two counters, all rising."""
    at_ms = draw(st.integers(0, 10**12))
    counters = (draw(st.integers(0, 10**9)), draw(st.integers(0, 10**6)))
    history = [(at_ms, counters)]
    steps = st.tuples(st.integers(1, 300_000), st.integers(0, 10**7), st.integers(0, 10**4))
    for wait, energy, requests in draw(st.lists(steps, max_size=25)):
        at_ms += wait
        counters = (counters[0] + energy, counters[1] + requests)
        history.append((at_ms, counters))
    return history


def book(reports: list[tuple[int, tuple[int, int]]]) -> list[Span]:
    buckets: dict[int, Span] = {}
    for at_ms, values in reports:
        key = bucket_of(at_ms, BUCKET)
        span = span_of(at_ms, values)
        buckets[key] = merge(buckets[key], span) if key in buckets else span
    return [buckets[key] for key in sorted(buckets)]


@given(histories(), st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(
    history: list[tuple[int, tuple[int, int]]], chance: random.Random
) -> None:
    delivered = history + [chance.choice(history) for _ in range(10)]
    chance.shuffle(delivered)
    assert book(delivered) == book(history)


@given(histories())
def test_slices_sum_to_the_devices_own_counters(history: list[tuple[int, tuple[int, int]]]) -> None:
    pieces = list(slices(book(history), BUCKET))
    for counter in (0, 1):
        assert sum(piece.values[counter] for piece in pieces) == history[-1][1][counter]
        assert all(piece.values[counter] >= 0 for piece in pieces)
    starts = [piece.start_ms for piece in pieces]
    assert starts == sorted(set(starts))
    assert all(start % BUCKET == 0 for start in starts)
    assert starts[0] <= history[0][0] < starts[0] + BUCKET
    assert starts[-1] <= history[-1][0] < starts[-1] + BUCKET


@given(histories(), st.data())
def test_lost_reports_lose_nothing_that_a_later_one_has(
    history: list[tuple[int, tuple[int, int]]], data: st.DataObject
) -> None:
    kept = [report for report in history[:-1] if data.draw(st.booleans())] + history[-1:]
    for counter in (0, 1):
        whole = sum(piece.values[counter] for piece in slices(book(history), BUCKET))
        assert sum(piece.values[counter] for piece in slices(book(kept), BUCKET)) == whole


@given(histories())
def test_a_bucket_holds_what_was_counted_inside_it(history: list[tuple[int, tuple[int, int]]]) -> None:
    """Reports at both ends of a bucket fix its slice, whatever happens elsewhere."""
    first = bucket_of(history[0][0], BUCKET) + BUCKET
    exact = [(first, history[-1][1]), (first + BUCKET, (history[-1][1][0] + 500, history[-1][1][1] + 5))]
    pieces = {piece.start_ms: piece.values for piece in slices(book([history[0], *exact]), BUCKET)}
    assert pieces[first] == (500, 5)


@given(histories(), st.data())
def test_a_clock_set_back_loses_nothing(
    history: list[tuple[int, tuple[int, int]]], data: st.DataObject
) -> None:
    """Reports of a later number with an earlier time count all the same, and no slice is negative."""
    stepped = [
        (max(0, at_ms - data.draw(st.sampled_from([0, 1, 50_000, 7_200_000]))), values)
        for at_ms, values in history
    ]
    pieces = list(slices(book(stepped), BUCKET))
    for counter in (0, 1):
        assert sum(piece.values[counter] for piece in pieces) == history[-1][1][counter]
        assert all(piece.values[counter] >= 0 for piece in pieces)


def test_a_silence_is_shared_out_evenly_but_not_a_clock_jump() -> None:
    even = [piece.values[0] for piece in slices(book([(0, (0, 0)), (4 * BUCKET, (400, 0))]), BUCKET)]
    assert even == [100, 100, 100, 100, 0]
    jump = list(slices(book([(0, (7, 0)), (10 * LONGEST_SPREAD_MS, (400, 0))]), BUCKET))
    assert [(piece.start_ms, piece.values[0]) for piece in jump] == [(0, 7), (10 * LONGEST_SPREAD_MS, 393)]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=3, max_size=3))
def test_merge_is_commutative_associative_idempotent(reports: list[tuple[int, int]]) -> None:
    a, b, c = (span_of(at, [value]) for at, value in reports)
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a


def test_no_reports_no_slices() -> None:
    assert list(slices([], BUCKET)) == []
