"""What a change of mode or caps takes, as data. Pure: files come in as values, writes go out as values.

Invariants (each is a property test):
- a mode whose GPU masks differ from the board's is never live: it needs a reboot;
- no write has a value outside the frequencies that its node offers;
- a maximum never goes below its minimum on the way, nor a minimum above its maximum;
- putting back leads to the values before, by the same rule, from wherever the board stands.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from tidewatt_agent.nvpmodel import PowerMode, PowerModes

#: Params that change which parts of the GPU have power: the driver takes them only before its first use.
MASKS = frozenset({"TPC_POWER_GATING", "FBP_POWER_GATING", "GPU_POWER_GATING"})
#: What nvpmodel.conf says for "no cap", by the widths that the tool prints.
NO_CAP = frozenset({-1, 2**31 - 1, 2**63 - 1})
#: Clocks without a readable table (DLA, PVA, encoders) are rounded to what their parents divide into.
ROUNDING = 0.1
#: Runtime power management of the GPU: set for the time of the switch only.
TRANSIENT = frozenset({"GPU_POWER_CONTROL_ENABLE", "GPU_POWER_CONTROL_DISABLE"})

_CPU = re.compile(
    r"sys/devices/system/cpu/(cpufreq/policy[0-9]{1,3}/scaling_(min|max)_freq|cpu[0-9]{1,3}/online)"
)

Feasibility = Literal["live", "needs_reboot", "impossible"]
Readings = Mapping[str, int]
"""Integers by path, as read; what can't be read is absent."""


class Classified(NamedTuple):
    """Whether a mode can be set now, and why not."""

    feasibility: Feasibility
    why: str = ""


class Write(NamedTuple):
    """One write of a plan: the node, the value before, the value to be."""

    path: str
    was: int
    to: int


class Knob(NamedTuple):
    """A clock that can be capped: its maximum and minimum nodes and the values that they take.

    `unit` is hertz per unit of the nodes (cpufreq counts in kHz); `minimum` is None where there is none.
    """

    name: str
    maximum: str
    minimum: str | None
    available: tuple[int, ...]
    unit: int


def paths_of(modes: PowerModes) -> dict[tuple[str, str], str]:
    """The node of each argument, without its leading slash; where a parameter is given twice, the last."""
    return {
        (param.name, arg): "/".join(words).lstrip("/")
        for param in modes.params
        for arg, words in param.args.items()
    }


def ours(modes: PowerModes, knobs: Sequence[Knob], path: str) -> bool:
    """Whether a node is one that a mode or a cap may change; a sleeping core's needn't be there now."""
    if path in mask_paths(modes):
        return False
    ends = {end for knob in knobs for end in (knob.maximum, knob.minimum)}
    return path in ends or path in paths_of(modes).values() or bool(_CPU.fullmatch(path))


def why_strange(modes: PowerModes, knobs: Sequence[Knob], path: str, value: int) -> str:
    """Why this can't be what was found, as a few words; empty when it can."""
    if not ours(modes, knobs, path):
        return f"/{path} is no node of a mode or a cap"
    for knob in knobs:
        offered = knob.available and knob.name != "emc"
        if path in (knob.maximum, knob.minimum) and offered and value not in knob.available:
            return f"/{path} offers no {value}"
    return ""


def mask_paths(modes: PowerModes) -> set[str]:
    """The nodes of the GPU's power masks."""
    return {path for (param, _), path in paths_of(modes).items() if param in MASKS}


def wanted(modes: PowerModes, mode: PowerMode) -> list[tuple[str, str, int]]:
    """What the mode sets, as (parameter, path, value); arguments without a path are left out.

    Of a node that is set twice (cores that share a clock) the last value holds.
    """
    paths = paths_of(modes)
    found = {
        path: (setting.param, path, setting.value)
        for setting in mode.settings
        if setting.param not in TRANSIENT and (path := paths.get((setting.param, setting.arg)))
    }
    return list(found.values())


def classify(
    modes: PowerModes, mode_id: int, readings: Readings, current: PowerMode | None = None
) -> Classified:
    """Whether the mode can be set while the board runs.

    Masks are those that the board shows; where it shows none, those of the `current` mode.
    """
    mode = modes.mode(mode_id)
    if mode is None:
        known = ", ".join(f"{one.id} {one.name}" for one in modes.modes)
        return Classified("impossible", f"there is no mode {mode_id}; there are {known}")
    believed = {path: value for _, path, value in wanted(modes, current)} if current else {}
    for param, path, value in wanted(modes, mode):
        real = readings.get(path, believed.get(path, value))
        if param in MASKS and real != value:
            return Classified(
                "needs_reboot", f"{mode.name} sets {param} to {value}, the board runs with {real}"
            )
    return Classified("live")


def unlimited(value: int, param: str) -> bool:
    """Whether a conf value stands for no cap; on the memory, 0 does, too."""
    return value in NO_CAP or (param == "EMC" and value == 0)


def mismatches(
    modes: PowerModes,
    mode: PowerMode,
    readings: Readings,
    knobs: Sequence[Knob],
    caps: Mapping[str, int],
    *,
    clamped: bool = False,
) -> list[str]:
    """What of the mode (with our caps on top) the board doesn't show, a few words each.

    Nodes that can't be read tell nothing, and minima aren't looked at. `clamped`: the kernel holds clocks
    down because it is hot, which their maxima show.
    """
    knob_of = {knob.maximum: knob for knob in knobs}
    minima = {knob.minimum for knob in knobs}
    types = {param.name: param.type for param in modes.params}
    found = []
    for param, path, value in wanted(modes, mode):
        real = readings.get(path)
        if real is None or path in minima or types.get(param) == "HWMON":
            continue  # a sensor's limit is rounded to the sensor's steps
        knob = knob_of.get(path)
        good = (
            unlimited(value, param) or (near(value, real) if types.get(param) == "CLOCK" else real == value)
            if knob is None
            else fits(knob, value, real, caps.get(knob.name), clamped=clamped)
        )
        if not good:
            found.append(f"/{path} is {real}, not {value}")
    return found


def near(value: int, real: int) -> bool:
    """Whether a clock that offers no table may have made `real` of `value`."""
    return abs(real - value) <= value * ROUNDING


def fits(knob: Knob, value: int, real: int, cap: int | None, *, clamped: bool = False) -> bool:
    """Whether a maximum may show `real` when the mode gives it `value`, with our `cap` on top.

    Of a frequency between two offered ones the kernel makes the next lower or higher.
    """
    memory = knob.name == "emc"
    if cap is not None:
        good, highest = real == cap, cap
    elif unlimited(value, "EMC" if memory else ""):
        highest = knob.available[-1] if knob.available else real
        # The memory shows its highest, which no table names, or what stands for no cap.
        good = real == highest or (memory and (real >= highest or unlimited(real, "EMC")))
    else:
        rounded = (value, *neighbours(knob.available, value))
        good, highest = real in rounded, max(rounded)
    return good or (clamped and not memory and real in knob.available and real < highest)


def pinned(modes: PowerModes, knobs: Sequence[Knob], readings: Readings) -> list[str]:
    """The clocks that are held at their maximum, as jetson_clocks does, where no mode sets that."""
    meant = {(path, value) for mode in modes.modes for _, path, value in wanted(modes, mode)}
    return [
        knob.name
        for knob in knobs
        if knob.minimum and len(knob.available) > 1
        for low in [readings.get(knob.minimum)]
        if low is not None
        and low == readings.get(knob.maximum)
        and low > knob.available[0]
        and (knob.minimum, low) not in meant
    ]


def limit(modes: PowerModes, mode: PowerMode, knob: Knob) -> int:
    """The highest offered value that the mode leaves the knob. ValueError if the knob offers none."""
    given = [value for param, path, value in wanted(modes, mode) if path == knob.maximum]
    capped = [value for value in given if not unlimited(value, "EMC" if knob.name == "emc" else "")]
    return snap(knob.available, capped[-1]) if capped else snap(knob.available, 2**63)


def neighbours(available: Sequence[int], value: int) -> tuple[int, ...]:
    """The offered frequencies next to `value`: what silent rounding may give."""
    lower = [one for one in available if one <= value]
    higher = [one for one in available if one >= value]
    return tuple({*lower[-1:], *higher[:1]})


def standing(
    modes: PowerModes,
    readings: Readings,
    knobs: Sequence[Knob],
    caps: Mapping[str, int],
    *,
    clamped: bool = False,
) -> list[int]:
    """The ids of the modes that the board's own nodes agree with; several where no node tells them apart.

    `caps`: what was put on top of the mode, by knob, in the node's unit.
    """
    return [
        mode.id
        for mode in modes.modes
        if classify(modes, mode.id, readings).feasibility == "live"
        and not mismatches(modes, mode, readings, knobs, caps, clamped=clamped)
    ]


def snap(available: Sequence[int], value: int) -> int:
    """The highest offered frequency not above `value`, else the lowest. ValueError if none is offered."""
    if not available:
        raise ValueError("the node offers no frequencies")
    return max((one for one in available if one <= value), default=available[0])


def move(knob: Knob, low: int | None, high: int, readings: Readings) -> list[Write]:
    """The writes that bring the knob's minimum and maximum to `low` and `high`, in an order the kernel takes.

    `low` None leaves the minimum alone. Raises KeyError when the nodes weren't read.
    """
    now_high = readings[knob.maximum]
    writes = [Write(knob.maximum, now_high, high)] if now_high != high else []
    if knob.minimum is None or low is None or knob.minimum not in readings:
        return writes
    now_low = readings[knob.minimum]
    floor = [Write(knob.minimum, now_low, low)] if now_low != low else []
    # A maximum below the present minimum has to wait until the minimum has gone down.
    return writes + floor if high >= now_low else floor + writes


def cap(knob: Knob, value: int, readings: Readings) -> list[Write]:
    """The writes that make `value` (in the node's unit) the knob's maximum; its minimum only ever goes down.

    Raises ValueError naming the nearest offered frequency if `value` isn't one.
    """
    if value not in knob.available:
        nearest = min(knob.available, key=lambda one: abs(one - value), default=None)
        raise ValueError(f"{knob.name} offers no {value}; the nearest is {nearest}")
    low = readings.get(knob.minimum) if knob.minimum else None
    return move(knob, None if low is None else min(low, value), value, readings)


def put_back(found: Readings, knobs: Sequence[Knob], readings: Readings) -> list[Write]:
    """The writes that bring every node in `found` back to its value, the last changed first."""
    writes: list[Write] = []
    done: set[str] = set()
    for path in reversed(list(found)):
        knob = next((one for one in knobs if path in (one.maximum, one.minimum)), None)
        if knob is None or knob.maximum not in readings:
            if path in readings and readings[path] != found[path]:
                writes.append(Write(path, readings[path], found[path]))
        elif knob.name not in done:
            done.add(knob.name)
            low = found.get(knob.minimum, readings.get(knob.minimum)) if knob.minimum else None
            writes += move(knob, low, found.get(knob.maximum, readings[knob.maximum]), readings)
    return writes
