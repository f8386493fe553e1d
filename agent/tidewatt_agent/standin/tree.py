"""A board's tree whose nodes fail on command when they are written: what drivers do, without a driver."""

import errno
import os
from collections.abc import Callable

from tidewatt_agent.sysfs.tree import Tree

#: How often a slow node is read before it shows what it was given.
SLOW_LOOKS = 10

Fault = Callable[[str, int], str]
"""What goes wrong when `path` is given `value`: an errno's name, `lie`, `slow`, `vanish`, or nothing ("")."""


def works(_path: str, _value: int) -> str:
    """Nothing goes wrong."""
    return ""


class FailingTree(Tree):
    """A tree that asks `fault` before every write.

    EBUSY, ENODEV, EROFS, EAGAIN and any other errno: the write fails so, and the node keeps its value.
    `lie`: the write succeeds and the node keeps its value. `slow`: the node shows the value after some looks.
    `vanish`: the driver unbinds, the node is gone (until `come_back`).
    """

    def __init__(self, root: str, fault: Fault = works) -> None:
        super().__init__(root)
        self.fault = fault
        self._late: dict[str, tuple[int, int]] = {}
        self._gone: dict[str, str] = {}

    def write(self, path: str, value: int | str) -> None:
        """See Tree.write, and above."""
        assert isinstance(value, int)  # noqa: S101 - no mode or cap is set by words
        kind = self.fault(path, value)
        if kind.startswith("E"):
            number = getattr(errno, kind)
            raise OSError(number, os.strerror(number), path)
        if kind == "vanish":
            self._gone[path] = self.text(path)
            os.unlink(self._place(path))  # noqa: PTH108 - as in Tree
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
        if kind == "slow":
            self._late[path] = (SLOW_LOOKS, value)
        elif kind != "lie":
            self._late.pop(path, None)
            super().write(path, value)

    def number(self, path: str) -> int | None:
        """See Tree.number; a slow node comes nearer to its value with every look."""
        if path in self._late:
            looks, value = self._late[path]
            self._late[path] = (looks - 1, value)
            if looks <= 1:
                del self._late[path]
                super().write(path, value)
        return super().number(path)

    def come_back(self) -> None:
        """Bind every driver again; what has vanished is there as it was, and nothing fails any more."""
        self.fault = works
        for path, text in self._gone.items():
            with open(self._place(path), "w", encoding="utf-8") as file:  # noqa: PTH123 - as in Tree
                file.write(f"{text}\n")
        self._gone.clear()
