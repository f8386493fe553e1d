"""One tegrastats line to a Sample, for every board from TX1 to Thor. Pure.

The line is a sequence of fields, most of which may be absent, in about this order:

    [MM-DD-YYYY HH:MM:SS] RAM u/tMB (lfb NxSMB) [SWAP u/tMB (cached cMB)] [IRAM u/tkB(lfb skB)]
    CPU [P%@F,off,...] [EMC_FREQ ...] [GR3D_FREQ ...] [GR3D2_FREQ ...] engines...
    [APE F] [MTS fg P% bg P%] temperatures... rails...

    clocks and engines    P%   P%@F   P%@[F,F]   @F   @[F,F,F]   F   off
    temperatures          name@T C   name@T C/Tmax C     (-256: the sensor is off)
    rails, in mW          NAME now/avg   NAMEnowmW/avgmW   ...   now/avg/max from JetPack 7.2

Frequencies are MHz. Every field is taken whole or not at all: text that is no field is kept
in Sample.unknown, token by token, so nothing is dropped and nothing is guessed. A repeated
field (but for rails, whose names repeat) is kept there too.

What can't be seen from the grammar: a last number that lost digits because the line was
cut. Callers pass only lines that ended in a newline. Form and quirks: captures of many
boards; the shape `CPU [X%,Y%]@Z` is documented by NVIDIA and was never captured.
"""

import re
from collections.abc import Callable
from typing import Any

from tidewatt_governor.sample import Clocked, Core, Memory, Rail, Sample, Temperature

MHZ = 1_000_000
BYTES = {"kB": 1024, "MB": 1024 * 1024, "GB": 1024**3}
SENSOR_OFF_C = -256.0
#: Names that carry a bare frequency; any other name before a bare number is not understood.
_BARE = "NVENC|NVDEC|NVJPG|MSENC|VIC|OFA|NVDLA|PVA|APE|SE|TSEC|VDE|NVCSI|ISP|VI|CVNAS|AXI"


class NotTegrastats(ValueError):
    """The line is no tegrastats line, or was cut off before its end."""


_DEGREES = r"-?\d{1,6}(?:\.\d{1,9})?"

# Every alternative begins and ends at white space, so a damaged token never matches in part.
# The outer group's name is the handler's.
_FIELD = re.compile(
    rf"""(?<!\S)(?:
      (?P<stamp>   \d\d-\d\d-\d{{4}} \s+ \d\d:\d\d:\d\d )
    | (?P<memory>  (RAM|SWAP|IRAM) \s+ (\d{{1,12}})/(\d{{1,12}})(kB|MB|GB)
                   (?: \s* \( (lfb|cached) \s+ (?:(\d{{1,9}})x)? (\d{{1,12}})(kB|MB|GB) \) )? )
    | (?P<cores>   CPU \s* \[ ([^\[\]]*) \] (?: @(\d{{1,9}}) )? )
    | (?P<mts>     MTS \s+ fg \s+ (\d{{1,3}})% \s+ bg \s+ (\d{{1,3}})% )
    | (?P<heat>    ([A-Za-z][\w.-]*) @ ({_DEGREES}) C (?: / ({_DEGREES}) C )? )
    | (?P<rail>    ([A-Za-z]\w*) \s+ (?: (-?\d{{1,12}})mW/(-?\d{{1,12}})mW (?: /(-?\d{{1,12}})mW )?
                                       | (-?\d{{1,12}})/(-?\d{{1,12}}) ) )
    | (?P<clock>   ([A-Z]\w*) \s+ (?: (off)
                                    | (\d{{1,3}})% (?: @ (\d{{1,9}} | \[[\d,]*\]) )?
                                    | @ (\d{{1,9}} | \[[\d,]*\]) ) )
    | (?P<bare>    ((?:{_BARE})\d*(?:_\w+)?) \s+ (\d{{1,9}}) )
    )(?!\S)""",
    re.VERBOSE | re.ASCII,
)
_CORE = re.compile(r"(off)|(\d{1,3})%(?:@(\d{1,9}))?", re.ASCII)
_CUT_CPU = re.compile(r"(?<!\S)CPU\s*\[[^\]]*$")


def parse_line(line: str) -> Sample:
    """The sample in a whole line; NotTegrastats if there is none in it."""
    if _CUT_CPU.search(line):
        raise NotTegrastats("the line breaks off inside its CPU field")
    fields: dict[str, Any] = {"gpus": {}, "engines": {}, "temperatures": {}, "mts": {}, "rails": []}
    unknown: list[str] = []
    end = 0
    for found in _FIELD.finditer(line):
        if found.start() > end:
            unknown += line[end : found.start()].split()
        end = found.end()
        # A handler answers False when the field is no field after all, or came before.
        if not _HANDLERS[found.lastgroup or ""](found, fields):
            unknown += found.group().split()
    unknown += line[end:].split()
    if "ram" not in fields and "cores" not in fields:
        raise NotTegrastats("neither a RAM nor a CPU field is in the line")
    fields["rails"] = tuple(fields["rails"])
    return Sample(unknown=tuple(unknown), **fields)


def _stamp(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    return _set_once(fields, "stamp", " ".join(found["stamp"].split()))


def _memory(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    # Groups by number: named ones would shift what re calls the last group.
    which, used, total, unit, note, blocks, size, size_unit = found.group(*_numbers("memory", 8))
    name = which.lower()
    if name in fields:
        return False
    fields[name] = Memory(int(used) * BYTES[unit], int(total) * BYTES[unit])
    if note is None:
        return True
    size_bytes = int(size) * BYTES[size_unit]
    if name == "ram" and note == "lfb" and blocks is not None:
        fields["free_blocks"], fields["largest_free_block"] = int(blocks), size_bytes
    elif name == "swap" and note == "cached" and blocks is None:
        fields["swap_cached"] = size_bytes
    elif name == "iram" and note == "lfb" and blocks is None:
        fields["iram_largest_free_block"] = size_bytes
    else:
        del fields[name]
        return False
    return True


def _cores(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    entries, shared = found.group(*_numbers("cores", 2))
    cores: list[Core | None] = []
    for entry in entries.split(","):
        core = _CORE.fullmatch(entry.strip())
        if core is None:
            return False
        off, use, own = core.groups()
        megahertz = own or shared
        cores.append(None if off else Core(int(use) / 100, int(megahertz) * MHZ if megahertz else None))
    return _set_once(fields, "cores", tuple(cores))


def _mts(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    foreground, background = found.group(*_numbers("mts", 2))
    if fields["mts"]:
        return False
    fields["mts"] = {"fg": int(foreground) / 100, "bg": int(background) / 100}
    return True


def _heat(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    name, now, highest = found.group(*_numbers("heat", 3))
    off = float(now) == SENSOR_OFF_C
    reading = None if off else Temperature(float(now), float(highest) if highest else None)
    return _set_once(fields["temperatures"], name, reading)


def _rail(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    name, now, average, highest, bare_now, bare_average = found.group(*_numbers("rail", 6))
    fields["rails"].append(
        Rail(
            name,
            int(now or bare_now) / 1000,
            int(average or bare_average) / 1000,
            int(highest) / 1000 if highest else None,
        )
    )
    return True


def _clock(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    name, off, use, clocks, only_clocks = found.group(*_numbers("clock", 5))
    try:
        reading = Clocked(
            on=off is None,
            use=int(use) / 100 if use else None,
            hertz=_megahertz(clocks or only_clocks),
        )
    except ValueError:  # an empty place in the bracket
        return False
    short = name.removesuffix("_FREQ")
    if short == "EMC":
        # Without root the line says `EMC_FREQ 0%`, which is not a measurement.
        unmeasured = reading.use == 0.0 and not reading.hertz
        return _set_once(fields, "emc", None if unmeasured else reading)
    return _set_once(fields["gpus" if short.startswith("GR3D") else "engines"], short, reading)


def _bare(found: "re.Match[str]", fields: dict[str, Any]) -> bool:
    name, megahertz = found.group(*_numbers("bare", 2))
    return _set_once(fields["engines"], name.removesuffix("_FREQ"), Clocked(hertz=(int(megahertz) * MHZ,)))


def _megahertz(text: str | None) -> tuple[int, ...]:
    if not text:
        return ()
    return tuple(int(one) * MHZ for one in text.strip("[]").split(","))


def _set_once(fields: dict[str, Any], name: str, value: object) -> bool:
    if name in fields:
        return False
    fields[name] = value
    return True


def _numbers(handler: str, count: int) -> range:
    """The numbers of the groups inside a handler's group."""
    first = _FIELD.groupindex[handler] + 1
    return range(first, first + count)


_HANDLERS: dict[str, Callable[["re.Match[str]", dict[str, Any]], bool]] = {
    "stamp": _stamp,
    "memory": _memory,
    "cores": _cores,
    "mts": _mts,
    "heat": _heat,
    "rail": _rail,
    "clock": _clock,
    "bare": _bare,
}
