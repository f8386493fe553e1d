"""Where a board stands that is only observed and has no actuator: the nodes are for everybody to read."""

import asyncio
from collections.abc import Callable

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.tool import STATUS
from tidewatt_agent.hands import NoReboots, Outcome, Stance
from tidewatt_agent.sysfs.tree import Tree

#: Nobody changes the mode of a board that is only observed but a person: looking costs more than it tells.
LOOK_S = 5.0


class Eyes(NoReboots):
    """Hands that can only look, every LOOK_S."""

    acts = False

    def __init__(self, tree: Tree, now_s: Callable[[], float]) -> None:
        """`now_s`: real monotonic seconds."""
        self._board, self._now_s = Board(tree), now_s
        self._looked_s: float | None = None
        self._last = Stance(None, seen=False)

    async def look(self) -> Stance:
        """See Hands.look."""
        if self._looked_s is None or self._now_s() - self._looked_s >= LOOK_S:
            self._looked_s = self._now_s()
            self._last = await asyncio.to_thread(self._look)
        return self._last

    def _look(self) -> Stance:
        modes = self._board.modes()
        word = (self._board.tree.read(STATUS) or "").partition(" ")[0].removeprefix("pmode:")
        state = self._board.state(int(word) if word.isdecimal() and word.isascii() else None, {})
        mode = None if state.mode_id is None else modes.mode(state.mode_id)
        return Stance(mode.name if mode else None, seen=bool(modes.modes), pinned=tuple(state.pinned))

    async def go_to(self, point: str) -> Outcome:
        """Nothing is done."""
        return Outcome("observed", (await self.look()).point, f"would go to {point}")

    async def restore(self) -> None:
        """There is nothing to restore."""

    async def close(self) -> None:
        """There is nothing to close."""
