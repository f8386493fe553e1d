"""The machine around the board's sensors: memory, disk, and what the agent itself costs. By psutil."""

import contextlib
from collections.abc import Callable

import msgspec
import psutil


class Space(msgspec.Struct, frozen=True):
    """Bytes in all, and bytes that could be had."""

    total: int
    available: int


class Cost(msgspec.Struct, frozen=True):
    """Resident bytes now and CPU seconds since its start, of one process."""

    rss: int
    cpu_s: float


class Host:
    """What psutil sees. A figure it can't give is None."""

    def __init__(self, folder: str, child_pid: Callable[[], int | None] = lambda: None) -> None:
        """`folder`: whose file system counts as the disk; `child_pid`: the running reader child, if any."""
        self.folder = folder or "/"
        self._child_pid = child_pid
        self._self = psutil.Process()

    def memory(self) -> Space:
        """RAM, which on a Jetson is the GPU's, too."""
        now = psutil.virtual_memory()
        return Space(now.total, now.available)

    def swap(self) -> Space:
        """Swap, zram included."""
        now = psutil.swap_memory()
        return Space(now.total, now.free)

    def disk(self) -> Space | None:
        """The file system of the state folder."""
        try:
            now = psutil.disk_usage(self.folder)
        except OSError:
            return None
        return Space(now.total, now.free)

    def costs(self) -> dict[str, Cost]:
        """The agent's own cost, and its tegrastats child's, by process."""
        costs = {"agent": _cost(self._self)}
        pid = self._child_pid()
        if pid is not None:
            with contextlib.suppress(psutil.Error):  # it may have ended just now
                costs["tegrastats"] = _cost(psutil.Process(pid))
        return costs


def _cost(process: psutil.Process) -> Cost:
    with process.oneshot():
        times = process.cpu_times()
        return Cost(process.memory_info().rss, times.user + times.system)
