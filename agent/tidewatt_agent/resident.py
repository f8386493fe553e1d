"""What starting took, given back: free heap, and pages of libraries that nothing runs in any more.

onnxruntime and numpy are 27 MB of libraries, most of it run once, while they are loaded, and the rest for
some milliseconds a minute. Such a page is a copy of its file's, so giving it back loses nothing: who comes by
it again has it from the page cache, which the kernel may shrink as it needs.
"""

import ctypes
import gc
import logging
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

log = logging.getLogger(__name__)

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) [0-9a-f]+ [0-9a-f:]+ [0-9]+ *(.*)")
#: Code, never written to.
CODE = "r-xp"
#: Whose code only a forecast runs.
FORECASTS = ("onnxruntime", "numpy", "openblas")
MADV_DONTNEED = 4
SMAPS = "/proc/self/smaps"


class Mapping(NamedTuple):
    """A piece of a file in memory: begin and end of its addresses, and the file."""

    begin: int
    end: int
    file: str


def settle() -> list[Mapping]:
    """Give back what starting took, of everybody's, and say of what. 30 ms; a failure costs memory only."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open(SMAPS, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            clean = list(clean_code(file))
    except (OSError, AttributeError) as error:  # no /proc, or another C library
        log.debug("memory isn't given back: %s", error)
        return []
    _give_back(clean)
    return clean


class Forecasting:
    """The libraries that forecast, in this process."""

    def __init__(self) -> None:
        self._theirs: list[Mapping] = []

    def loaded(self) -> None:
        """Give back what loading took."""
        self._theirs = [one for one in settle() if any(name in one.file for name in FORECASTS)]

    def rests(self) -> None:
        """Give back the code that the next forecast will run, in a minute."""
        _give_back(self._theirs)


def _give_back(mappings: Iterable[Mapping]) -> None:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for one in mappings:
        madvise(one.begin, one.end - one.begin, MADV_DONTNEED)


def clean_code(smaps: Iterable[str]) -> Iterator[Mapping]:
    """The mappings of code from files, of which no page was ever changed.

    `smaps`: the lines of /proc/PID/smaps. One that doesn't say that nothing was changed is left alone.
    """
    found: Mapping | None = None
    for line in smaps:
        if begins := _MAPPING.match(line):
            code = begins[3] == CODE and begins[4].startswith("/")
            found = Mapping(int(begins[1], 16), int(begins[2], 16), begins[4]) if code else None
        elif found and line.split() == ["Anonymous:", "0", "kB"]:
            yield found
            found = None
