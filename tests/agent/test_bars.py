"""A point that the board refused is left alone, longer each time; an unreachable board bars nothing."""

from tidewatt_agent.bars import FIRST_BAR_S, LONGEST_BAR_S, Bars
from tidewatt_agent.hands import Outcome

REFUSED = Outcome("refused", "15W", "busy")


def test_longer_each_time_and_free_once_applied() -> None:
    bars, now_s, waits = Bars(), 0.0, []
    for _ in range(9):
        bars.note("7W", REFUSED, now_s)
        start_s = now_s
        while bars.barred(now_s):
            now_s += 10.0
        waits.append(now_s - start_s)
    assert waits == [min(LONGEST_BAR_S, FIRST_BAR_S * 2**n) for n in range(9)]
    bars.note("7W", REFUSED, now_s)
    bars.note("7W", Outcome("applied", "7W"), now_s)
    assert bars.barred(now_s) == []
    bars.note("7W", REFUSED, now_s)
    assert bars.barred(now_s + FIRST_BAR_S) == [], "and it begins anew"


def test_what_needs_a_reboot_is_left_for_a_day() -> None:
    bars = Bars()
    bars.note("25W", Outcome("needs_reboot", "15W", "masks"), 0.0)
    assert bars.barred(80_000.0) == ["25W"]


def test_a_board_that_cannot_be_seen_bars_nothing() -> None:
    bars = Bars()
    bars.note("25W", Outcome("refused", None, "no answer", reached=False), 0.0)
    bars.note("25W", Outcome("observed", "15W", "would go"), 0.0)
    assert bars.barred(0.0) == []
