"""The end of the agent: whatever broke, the board is given back."""

import pytest
from tests.world import HandClock

from tidewatt_agent.counterfile import CounterFile
from tidewatt_agent.daemon import _last_words
from tidewatt_agent.hands import Outcome


class Hands:
    """Hands that remember whether they gave the board back."""

    restored = False

    async def look(self) -> str | None:
        return "25W"

    async def go_to(self, point: str) -> Outcome:
        return Outcome("applied", point)

    async def restore(self) -> None:
        self.restored = True

    async def close(self) -> None: ...


async def test_a_broken_tick_does_not_keep_the_board(caplog: pytest.LogCaptureFixture) -> None:
    async def tick() -> None:
        raise ZeroDivisionError

    hands = Hands()
    await _last_words(tick, hands, CounterFile(None), None, HandClock(0))  # type: ignore[arg-type] # a tick that fails
    assert hands.restored
    assert "the last tick failed" in caplog.text
