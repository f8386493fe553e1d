"""What the fleet's plan asks of a board: believed only if signed, for it, in time, and not for long."""

from typing import Any

import pytest
from tests.sealing import FLEETS_KEY, FOREIGN_KEY
from tests.world import HandClock

from tidewatt_agent.planhints import LONGEST_S, PlanHints
from tidewatt_governor.hints import Hint, asked
from tidewatt_wire.codec import encode
from tidewatt_wire.planned import EnoughAt, PlanHint
from tidewatt_wire.signing import HINT_TYPE, PLAN_TYPE, Signer, seal


def sealed(clock: HandClock, key: Signer = FLEETS_KEY, kind: str = PLAN_TYPE, **more: Any) -> bytes:
    now_ms = clock.now_ms()
    hint = PlanHint(**{
        "fleet": "f", "device": "d", "plan": 7, "issued_at_ms": now_ms, "expires_at_ms": now_ms + 300_000,
        "point": "15W", "reason": "planned", **more,
    })  # fmt: skip
    return seal(encode(hint), [key], kind)


@pytest.fixture
def hints(clock: HandClock) -> PlanHints:
    return PlanHints("f", "d", lambda: [FLEETS_KEY.trusted], clock)


def now(hints: PlanHints, clock: HandClock) -> Hint | None:
    return hints.at(clock.now_ms(), clock.monotonic_s())


def test_a_hint_stands_until_it_expires_or_is_taken_away(hints: PlanHints, clock: HandClock) -> None:
    clock.speed = 1.0
    hints.take(sealed(clock, guarded=True))
    until_s = clock.monotonic_s() + 300.0
    assert now(hints, clock) == Hint(point="15W", until_s=until_s, reason="planned", guarded=True)
    hints.take(
        sealed(clock, enough=[EnoughAt(most_rps=9.5, point="7W"), EnoughAt(most_rps=None, point="10W")])
    )
    stands = now(hints, clock)
    assert stands
    assert [asked(stands, rps) for rps in (9.5, 9.6, 1e6)] == ["7W", "10W", "10W"]
    hints.take(b"")
    assert now(hints, clock) is None
    hints.take(sealed(clock))
    clock.move(299.0)
    assert now(hints, clock)
    clock.move(1.0)
    assert now(hints, clock) is None


def test_what_cannot_be_believed_is_counted_by_reason_and_leaves_the_last_standing(
    hints: PlanHints, clock: HandClock
) -> None:
    hints.take(sealed(clock))
    ms = clock.now_ms()
    hints.take(sealed(clock, point="25W", key=FOREIGN_KEY))
    hints.take(sealed(clock, point="25W", kind=HINT_TYPE))
    hints.take(b"nonsense")
    hints.take(sealed(clock, point="25W", device="e"))
    hints.take(sealed(clock, point="25W", fleet="g"))
    hints.take(sealed(clock, point="25W", issued_at_ms=ms - 1))
    hints.take(sealed(clock, point="25W", expires_at_ms=ms))
    standing = now(hints, clock)
    assert standing
    assert standing.point == "15W"
    counted = {reason: count for reason, count in hints.refused.items() if count}
    assert counted == {"unknown_key": 1, "malformed": 2, "foreign": 2, "older": 1, "expired": 1}


def test_a_hint_ends_in_time_though_the_boards_clock_was_set_back(hints: PlanHints, clock: HandClock) -> None:
    hints.take(sealed(clock, expires_at_ms=2**50))
    clock.move(LONGEST_S - 1.0)
    clock.begin(clock.now_ms() - 10**9)
    assert hints.at(0, LONGEST_S - 1.0)
    assert hints.at(0, LONGEST_S) is None
