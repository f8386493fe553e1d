"""The law of the tegrastats parser: every number in a sample stands in its line."""

import re

from tidewatt_governor.sample import Sample

MB = 1024 * 1024


def values(sample: Sample) -> list[float]:
    """Every number in the sample, in the unit the line prints."""
    found: list[float] = []
    for memory in (sample.ram, sample.swap, sample.iram):
        found += [memory.used, memory.total] if memory else []
    found += [n for n in (sample.largest_free_block, sample.free_blocks, sample.swap_cached) if n is not None]
    for core in sample.cores or ():
        if core:
            found += [core.use * 100] if core.use is not None else []
            found += [core.hertz / 1e6] if core.hertz is not None else []
    for clocked in (*sample.gpus.values(), *sample.engines.values(), *([sample.emc] if sample.emc else [])):
        found += [clocked.use * 100] if clocked.use is not None else []
        found += [hertz / 1e6 for hertz in clocked.hertz]
    for heat in sample.temperatures.values():
        found += [n for n in (heat.now, heat.highest) if n is not None] if heat else []
    for rail in sample.rails:
        found += [n * 1000 for n in (rail.now, rail.average, rail.highest) if n is not None]
    return [*found, *(share * 100 for share in sample.mts.values())]


def numbers(text: str) -> set[float]:
    """Every number that stands in the text, as itself and as kB, MB and GB."""
    plain = {float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text, re.ASCII)}
    plain |= {float(n) for n in re.findall(r"\d+(?:\.\d+)?", text, re.ASCII)}
    return {_shown(n * unit) for n in plain for unit in (1, 1024, MB, 1024 * MB)}


def _shown(number: float) -> float:
    """Without what dividing and multiplying by a unit leaves in the last digits."""
    return float(f"{number:.11g}")


def invented(sample: Sample, text: str) -> list[float]:
    """The numbers of the sample that don't stand in the text."""
    allowed = numbers(text)
    return [value for value in values(sample) if _shown(value) not in allowed]
