"""One tegrastats line to a Sample, for every board from TX1 to Thor. Pure.

The line is a sequence of fields, most of which may be absent, in about this order:

    [MM-DD-YYYY HH:MM:SS] RAM u/tMB (lfb NxSMB) [SWAP u/tMB (cached cMB)] [IRAM u/tkB(lfb skB)]
    CPU [P%@F,off,...] [EMC_FREQ ...] [GR3D_FREQ ...] [GR3D2_FREQ ...] engines...
    [APE F] [MTS fg P% bg P%] temperatures... rails...

    clocks and engines    P%   P%@F   P%@[F,F]   @F   @[F,F,F]   F   off
    temperatures          name@T C   name@T C/Tmax C     (-256: the sensor is off)
    rails, in mW          NAME now/avg   NAME nowmW/avgmW   ...   now/avg/max from JetPack 7.2

Frequencies are MHz. A cursor walks the tokens (runs of white space part them); a token's
name, or else the shape of the token after it, says which field begins there. Every field is
taken whole or not at all: a token that begins no field is kept in Sample.unknown, so nothing
is dropped and nothing is guessed. A repeated field (but for rails, whose names repeat) is
kept there too; a second RAM means two lines run into one, which is refused. An engine's bare
frequency has no mark of its own, so only names of known engines may carry one.

Not measurements, all the same: PMIC's temperature is a constant (100 or 50), kept as printed.
`EMC_FREQ 0%` without a clock is what the line says without root: it is taken, and leaves emc None.

A CPU field that never closes means a cut line, which is refused. What can't be seen from the
grammar is a last number that lost digits (`VDD_IN 4067/40`): callers pass only lines that
ended in a newline. Form and quirks: captures of many boards; the shape `CPU [X%,Y%]@Z` is
documented by NVIDIA and was never captured.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from tidewatt_governor.sample import Clocked, Core, Memory, Rail, Sample, Temperature

MHZ = 1_000_000
BYTES = {"kB": 1024, "MB": 1024 * 1024, "GB": 1024**3}
SENSOR_OFF_C = -256.0
#: Fields are short, and so are the runs of tokens that hold them; the longest is MTS.
_MEMORY_TOKENS = 4
_MTS_TOKENS = 5
_CPU_TOKENS = 130
_ARRAY_TOKENS = 16
#: A healthy line is under 600 characters.
LONGEST_LINE = 16_384
#: Distinct cores, clocks and temperatures remembered: a board prints few (101 percents of some tens of
#: clocks; sensors step by 1/32 degree or more).
_REMEMBERED = 8192

_AMOUNT = r"(\d{1,12})/(\d{1,12})(kB|MB|GB)"
_SIZE = r"(\d{1,12})(kB|MB|GB)"
_DEGREES = r"(-?\d{1,6}(?:\.\d{1,9})?)C"
_CLOCKS = r"\d{1,9}|\[\d{1,9}(?:,\d{1,9}){0,63}\]"
_BARE_NAMES = "NVENC|NVDEC|NVJPG|MSENC|VIC|OFA|NVDLA|PVA|APE|SE|TSEC|VDE|NVCSI|ISP|VI|CVNAS|AXI|SCE|RCE|DCE"

_CPU_NAMES = frozenset({"CPU", "cpu"})
_DATE = re.compile(r"\d\d-\d\d-\d{4}", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d", re.ASCII)
_RAM = re.compile(rf"RAM {_AMOUNT}(?: ?\(lfb (\d{{1,9}})x{_SIZE}\)| ?\(lfb N/A\))?(?!\S)", re.ASCII)
_SWAP = re.compile(rf"SWAP {_AMOUNT}(?: ?\(cached {_SIZE}\))?(?!\S)", re.ASCII)
_IRAM = re.compile(rf"IRAM {_AMOUNT}(?: ?\(lfb {_SIZE}\))?(?!\S)", re.ASCII)
_CORES = re.compile(r"\[([^\[\]]*)\](?:@(?:(\d{1,9})|-1))?", re.ASCII)
_CORE = re.compile(r"(off)|(100|\d{1,2})%(?:@(\d{1,9}))?", re.ASCII)
_MTS = re.compile(r"MTS fg (100|\d{1,2})% bg (100|\d{1,2})%", re.ASCII)
_HEAT = re.compile(rf"([A-Za-z][\w.-]*)@{_DEGREES}(?:/{_DEGREES})?", re.ASCII)
_RAIL_NAME = re.compile(r"(?=[\w-]*[A-Za-z])\w[\w-]*", re.ASCII)
_MILLIWATTS = re.compile(r"(-?\d{1,12})(mW)?/(-?\d{1,12})(?(2)mW(?:/(-?\d{1,12})mW)?)", re.ASCII)
_CLOCK_NAME = re.compile(rf"(?P<bare>(?:{_BARE_NAMES})\d*(?:_\w+)?)|[A-Z]\w*", re.ASCII)
_CLOCK = re.compile(
    rf"(?P<off>off)|(?P<use>100|\d{{1,2}})%(?:@(?P<of>{_CLOCKS}))?|@(?P<at>{_CLOCKS})|(?P<bare>\d{{1,9}})",
    re.ASCII,
)


class NotTegrastats(ValueError):
    """The line is no tegrastats line, or was cut off before its end."""


class _Reading:
    """The fields taken so far; it becomes a Sample."""

    stamp: str | None = None
    ram: Memory | None = None
    free_blocks: int | None = None
    largest_free_block: int | None = None
    swap: Memory | None = None
    swap_cached: int | None = None
    iram: Memory | None = None
    iram_largest_free_block: int | None = None
    cores: tuple[Core | None, ...] | None = None

    def __init__(self) -> None:
        self.clocks: dict[str, Clocked] = {}
        self.gpus: dict[str, Clocked] = {}
        self.mts: dict[str, float] = {}
        self.temperatures: dict[str, Temperature | None] = {}
        self.rails: list[Rail] = []


def parse_line(line: str) -> Sample:
    """The sample in a whole line; NotTegrastats if there is none in it."""
    if len(line) > LONGEST_LINE:
        raise NotTegrastats(f"a line has at most {LONGEST_LINE} characters, this one {len(line)}")
    tokens = line.split()
    reading = _Reading()
    unknown: list[str] = []
    at, end = 0, len(tokens)
    while at < end:
        token = tokens[at]
        take = _NAMED.get(token)
        if take is None:
            take = _heat if "@" in token else _digits if token[0].isdigit() else _pair
        taken = take(tokens, at, reading)
        if not taken:
            unknown.append(token)
            taken = 1
        at += taken
    if reading.ram is None and reading.cores is None:
        raise NotTegrastats("neither a RAM nor a CPU field is in the line")
    if reading.cores is None and not _CPU_NAMES.intersection(tokens):
        raise NotTegrastats("the line breaks off before its CPU field")
    emc = reading.clocks.pop("EMC", None)
    return Sample(
        stamp=reading.stamp,
        ram=reading.ram,
        largest_free_block=reading.largest_free_block,
        free_blocks=reading.free_blocks,
        swap=reading.swap,
        swap_cached=reading.swap_cached,
        iram=reading.iram,
        iram_largest_free_block=reading.iram_largest_free_block,
        cores=reading.cores,
        # Without root the line says `EMC_FREQ 0%`, which is not a measurement.
        emc=None if emc is not None and emc.use == 0.0 and not emc.hertz else emc,
        gpus=reading.gpus,
        engines=reading.clocks,
        mts=reading.mts,
        temperatures=reading.temperatures,
        rails=tuple(reading.rails),
        unknown=tuple(unknown),
    )


# Each taker answers how many tokens its field has, 0 when no field (or a repeated one) begins at `at`.


def _stamp(tokens: list[str], at: int, reading: _Reading) -> int:
    both = tokens[at : at + 2]
    if reading.stamp is not None or len(both) < 2:  # noqa: PLR2004 - a date and a time
        return 0
    if not _DATE.fullmatch(both[0]) or not _TIME.fullmatch(both[1]):
        return 0
    reading.stamp = " ".join(both)
    return 2


def _digits(tokens: list[str], at: int, reading: _Reading) -> int:
    """The time, or a rail whose name begins with its volts."""
    return _stamp(tokens, at, reading) or _pair(tokens, at, reading)


def _ram(tokens: list[str], at: int, reading: _Reading) -> int:
    found = _RAM.match(" ".join(tokens[at : at + _MEMORY_TOKENS]))
    if found is None:
        return 0
    if reading.ram is not None:
        raise NotTegrastats("two lines have run into one")
    used, total, unit, blocks, size, size_unit = found.groups()
    reading.ram = Memory(int(used) * BYTES[unit], int(total) * BYTES[unit])
    if size:
        reading.free_blocks, reading.largest_free_block = int(blocks), int(size) * BYTES[size_unit]
    return found.group().count(" ") + 1


def _swap(tokens: list[str], at: int, reading: _Reading) -> int:
    found = _SWAP.match(" ".join(tokens[at : at + _MEMORY_TOKENS]))
    if found is None or reading.swap is not None:
        return 0
    used, total, unit, size, size_unit = found.groups()
    reading.swap = Memory(int(used) * BYTES[unit], int(total) * BYTES[unit])
    if size:
        reading.swap_cached = int(size) * BYTES[size_unit]
    return found.group().count(" ") + 1


def _iram(tokens: list[str], at: int, reading: _Reading) -> int:
    found = _IRAM.match(" ".join(tokens[at : at + _MEMORY_TOKENS]))
    if found is None or reading.iram is not None:
        return 0
    used, total, unit, size, size_unit = found.groups()
    reading.iram = Memory(int(used) * BYTES[unit], int(total) * BYTES[unit])
    if size:
        reading.iram_largest_free_block = int(size) * BYTES[size_unit]
    return found.group().count(" ") + 1


def _cpu(tokens: list[str], at: int, reading: _Reading) -> int:
    """The cores, or AGX Xavier's rail of that name."""
    if at + 1 == len(tokens) or tokens[at + 1][0] != "[":
        return _pair(tokens, at, reading)
    last = at + 1
    while "]" not in tokens[last]:  # white space inside the brackets
        last += 1
        if last == len(tokens) or last > at + _CPU_TOKENS:
            raise NotTegrastats("the line breaks off inside its CPU field")
    found = _CORES.fullmatch(" ".join(tokens[at + 1 : last + 1]))
    if found is None or reading.cores is not None:
        return 0
    entries, shared = found.groups()
    try:
        reading.cores = tuple([_core(entry, shared) for entry in entries.split(",")])
    except ValueError:
        return 0
    return last + 1 - at


@lru_cache(_REMEMBERED)
def _core(entry: str, shared: str | None) -> Core | None:
    found = _CORE.fullmatch(entry.strip())
    if found is None:
        raise ValueError(entry)
    off, use, own = found.groups()
    megahertz = own or shared
    return None if off else Core(int(use) / 100, int(megahertz) * MHZ if megahertz else None)


def _mts(tokens: list[str], at: int, reading: _Reading) -> int:
    found = _MTS.fullmatch(" ".join(tokens[at : at + _MTS_TOKENS]))
    if found is None or reading.mts:
        return 0
    reading.mts = {"fg": int(found[1]) / 100, "bg": int(found[2]) / 100}
    return _MTS_TOKENS


def _heat(tokens: list[str], at: int, reading: _Reading) -> int:
    heat = _heat_of(tokens[at])
    if heat is None or heat[0] in reading.temperatures:
        return 0
    reading.temperatures[heat[0]] = heat[1]
    return 1


@lru_cache(_REMEMBERED)
def _heat_of(token: str) -> tuple[str, Temperature | None] | None:
    """The sensor and what it reads (None: it is off); None when the token is no temperature."""
    found = _HEAT.fullmatch(token)
    if found is None:
        return None
    name, now, highest = found.groups()
    degrees = float(now)
    if degrees == SENSOR_OFF_C:
        return name, None
    return name, Temperature(degrees, _known(highest) if highest else None)


def _known(degrees: str) -> float | None:
    return None if float(degrees) == SENSOR_OFF_C else float(degrees)


def _pair(tokens: list[str], at: int, reading: _Reading) -> int:
    """A name and its value: a rail where the value has a slash, else a clock."""
    if at + 1 == len(tokens):
        return 0
    name, value = tokens[at], tokens[at + 1]
    if "/" in value:
        return _rail(name, value, reading)
    taken = 2
    while "[" in value and "]" not in value and taken < _ARRAY_TOKENS and at + taken < len(tokens):
        value += tokens[at + taken]  # white space inside the brackets
        taken += 1
    reads = _clock(name, value)
    if reads is None:
        return 0
    short, clocked = reads
    clocks = reading.gpus if short.startswith("GR3D") else reading.clocks
    if short in clocks:
        return 0
    clocks[short] = clocked
    return taken


def _rail(name: str, value: str, reading: _Reading) -> int:
    found = _MILLIWATTS.fullmatch(value)
    if found is None or not _is_rail_name(name):
        return 0
    now, _, average, highest = found.groups()
    reading.rails.append(
        Rail(name, int(now) / 1000, int(average) / 1000, int(highest) / 1000 if highest else None)
    )
    return 2


@lru_cache(_REMEMBERED)
def _is_rail_name(name: str) -> bool:
    return _RAIL_NAME.fullmatch(name) is not None


@lru_cache(_REMEMBERED)
def _clock(name: str, value: str) -> tuple[str, Clocked] | None:
    """The name without _FREQ and what it reads; None when it is no clock."""
    named, found = _CLOCK_NAME.fullmatch(name), _CLOCK.fullmatch(value)
    if named is None or found is None or (found["bare"] and not named["bare"]):
        return None
    use, clocks = found["use"], found["of"] or found["at"] or found["bare"]
    return name.removesuffix("_FREQ"), Clocked(
        on=found["off"] is None,
        use=int(use) / 100 if use else None,
        hertz=tuple(int(one) * MHZ for one in clocks.strip("[]").split(",")) if clocks else (),
    )


#: Fields that begin with a name of their own. What is named here and not whole is never a rail.
_NAMED: dict[str, Callable[[list[str], int, _Reading], int]] = {
    "RAM": _ram,
    "SWAP": _swap,
    "IRAM": _iram,
    "CPU": _cpu,
    "cpu": _cpu,  # L4T 24 and before, with one clock for all cores behind the bracket
    "MTS": _mts,
}
