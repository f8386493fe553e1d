"""What the kernel counts: busy time per core, memory, over-current events."""

import re

import msgspec

from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.sample import Core, Memory

KIBIBYTE = 1024
#: Columns of a cpu line in /proc/stat: idle and waiting for I/O are the time not used; guest
#: time is already part of user time.
IDLE_COLUMNS = slice(3, 5)
COUNTED_COLUMNS = 8
#: A core's line, with all that stands on it: one with anything but numbers is none.
_CPU = re.compile(r"^cpu([0-9]{1,3})((?:[ \t]+[0-9]{1,18}){5,})[ \t]*$", re.MULTILINE)
_MEMORY = re.compile(
    r"^(MemTotal|MemFree|Buffers|Cached|SReclaimable|SwapTotal|SwapFree):[ \t]*([0-9]{1,18})(?:[ \t]|$)",
    re.MULTILINE,
)
_CORE = re.compile(r"[0-9]{1,3}")
CHANNELS = ("oc1", "oc2", "oc3")


class CoreTimes(msgspec.Struct, frozen=True):
    """Clock ticks of one core since boot."""

    busy: int
    total: int


def core_times(tree: Tree) -> dict[int, CoreTimes]:
    """The times of every online core; empty when /proc/stat can't be read."""
    found: dict[int, CoreTimes] = {}
    for core, columns in _CPU.findall(tree.read("proc/stat") or ""):
        ticks = list(map(int, columns.split(None, COUNTED_COLUMNS)[:COUNTED_COLUMNS]))
        total = sum(ticks)
        found[int(core)] = CoreTimes(total - sum(ticks[IDLE_COLUMNS]), total)
    return found


def cores_between(
    before: dict[int, CoreTimes], after: dict[int, CoreTimes], hertz: dict[int, int], present: int
) -> tuple[Core | None, ...] | None:
    """The use of each of `present` cores between two looks; None for a core that is offline.

    A core without an earlier look, without time in between, or whose times fell (it was offline
    meanwhile) has no known use: one that wasn't measured isn't 0. None in all without any core.
    """
    if not after:
        return None
    cores: list[Core | None] = []
    for number in range(max(present, max(after) + 1)):
        now, then = after.get(number), before.get(number)
        cores.append(None if now is None else Core(_use(then, now), hertz.get(number)))
    return tuple(cores)


def _use(then: CoreTimes | None, now: CoreTimes) -> float | None:
    if then is None:
        return None
    total, busy = now.total - then.total, now.busy - then.busy
    return round(busy / total, 4) if total > 0 and 0 <= busy <= total else None


def present_cores(tree: Tree) -> int:
    """How many cores the board has, from a list such as `0-5` or `0,3-5`; 0 when it doesn't say."""
    last = (tree.read("sys/devices/system/cpu/present") or "").replace("-", ",").split(",")[-1]
    return int(last) + 1 if _CORE.fullmatch(last) else 0


def memory(tree: Tree) -> tuple[Memory | None, Memory | None]:
    """RAM and swap in bytes. Used RAM is what neither is free nor could be freed (buffers, caches)."""
    kibibytes = {name: int(number) for name, number in _MEMORY.findall(tree.read("proc/meminfo") or "")}
    ram = swap = None
    if {"MemTotal", "MemFree", "Buffers", "Cached"} <= kibibytes.keys():
        spare = sum(kibibytes.get(name, 0) for name in ("MemFree", "Buffers", "Cached", "SReclaimable"))
        total = kibibytes["MemTotal"]
        ram = Memory(max(0, total - spare) * KIBIBYTE, total * KIBIBYTE)
    if {"SwapTotal", "SwapFree"} <= kibibytes.keys():
        total = kibibytes["SwapTotal"]
        swap = Memory((total - kibibytes["SwapFree"]) * KIBIBYTE, total * KIBIBYTE)
    return ram, swap


def find_over_current(tree: Tree) -> str | None:
    """The folder of the SoC's over-current counters (Orin: hwmon `soctherm_oc`)."""
    for path in tree.find("sys/class/hwmon/hwmon*"):
        if tree.read(f"{path}/name") == "soctherm_oc":
            return path
    return None


def read_over_current(tree: Tree, folder: str | None) -> dict[str, int]:
    """Events since boot by channel."""
    if folder is None:
        return {}
    counts = {channel: tree.number(f"{folder}/{channel}_event_cnt") for channel in CHANNELS}
    return {channel: count for channel, count in counts.items() if count is not None}
