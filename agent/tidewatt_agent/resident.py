"""What loading a model needed, given back: free heap, and pages of libraries that nothing runs in any more.

onnxruntime and numpy are 27 MB of libraries, most of it run once, while they are loaded. Such a page is a
copy of its file's, so giving it back loses nothing: who comes by it again has it from the page cache.
"""

import ctypes
import gc
import logging
import re
from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) [0-9a-f]+ [0-9a-f:]+ [0-9]+ *(/?)")
#: Code, never written to.
CODE = "r-xp"
MADV_DONTNEED = 4
SMAPS = "/proc/self/smaps"


def give_back() -> None:
    """Let go of what isn't needed now. What can't be given back costs memory, nothing else."""
    gc.collect()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.malloc_trim(0)
        libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        with open(SMAPS, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            clean = list(clean_code(file))
        for begin, end in clean:
            libc.madvise(begin, end - begin, MADV_DONTNEED)
    except (OSError, AttributeError) as error:  # another C library, or no /proc
        log.debug("memory isn't given back: %s", error)


def clean_code(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """The mappings of code from files, begin and end, of which no page was ever changed.

    `smaps`: the lines of /proc/PID/smaps. One that doesn't say that nothing was changed is left alone.
    """
    found: tuple[int, int] | None = None
    for line in smaps:
        if begins := _MAPPING.match(line):
            code = begins[3] == CODE and begins[4] == "/"
            found = (int(begins[1], 16), int(begins[2], 16)) if code else None
        elif found and line.split() == ["Anonymous:", "0", "kB"]:
            yield found
            found = None
