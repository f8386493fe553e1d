"""The one door to /sys, /proc and /etc, under a root that a test or a container can move.

Nodes come and go, refuse and stall: a read gives the text or None, and never raises. Files are
opened non-blocking and read by the system call itself: the sensor of a gated unit answers
EAGAIN, out of which Python's buffered `open(path).read()` makes a TypeError.
"""

import copy
import errno
import glob
import os
import re
from typing import TypeVar

from tidewatt_link.durable import remove_file, replace_file

PAGE = 4096
#: /proc/stat of a board is some kilobytes; what is longer than this isn't for us.
MOST = 64 * PAGE
MOST_LINKS = 40
#: How a node refuses that is there as before: a gated unit's, and the pipe that stands for it in a recording.
STAYS = (errno.EAGAIN, errno.ESPIPE)
#: Whatever a kernel counts fits into 64 bits.
#: `Self` came with Python 3.11, and typing_extensions costs 1.4 MB resident.
T = TypeVar("T", bound="Tree")
_INTEGER = re.compile(rb"[\0 \t\n]*(-?[0-9]{1,19})[\0 \t\n]*")


class Tree:
    """The files below `root`. Paths are relative to it, without a leading slash."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/") or "/"
        self._open: dict[str, _Descriptor] | None = None

    def keeping(self: T) -> T:  # noqa: PYI019 - see T
        """This tree, for what is read every second: it keeps open what it reads, as opening costs the most.

        A descriptor stays with the very node that was opened. When a driver goes, the next read fails and
        the one after it opens whatever stands there then; what was merely put in another's place, or taken
        away from a folder of a disk, is seen after `let_go`, and by `says`.
        """
        kept = copy.copy(self)
        kept._open = {}  # noqa: SLF001 - our own
        return kept

    def let_go(self) -> None:
        """Close all that is kept open."""
        if self._open is not None:
            self._open.clear()

    def read(self, path: str) -> str | None:
        """The text without white space and NUL at its ends; None when it can't be read now."""
        try:
            return self._read(path)
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The integer that the file holds; None when it can't be read or holds something else."""
        try:
            found = _INTEGER.fullmatch(self._bytes(path))
        except OSError:
            return None
        return int(found[1]) if found else None

    def says(self, path: str, text: str) -> bool:
        """Whether the node says so, and still is the one of that name."""
        kept = self._open.get(path) if self._open else None
        if kept and kept.unlinked:
            self.let_go()  # where one was taken away others were, too
        return self.read(path) == text

    def why_not(self, path: str) -> str:
        """Why `path` can't be read, as a few words; empty when it can."""
        try:
            self._read(path)
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ""

    def exists(self, path: str) -> bool:
        """Whether there is such a node, readable or not."""
        try:
            return os.path.exists(self._place(path))  # noqa: PTH110 - no objects
        except OSError:
            return False

    def write(self, path: str, value: int | str) -> None:
        """Write an integer, or what else a node knows, and a line end, in one call as the kernel wants it.

        OSError if it isn't taken.
        """
        descriptor = os.open(self._place(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.write(descriptor, f"{value}\n".encode())
        finally:
            os.close(descriptor)

    def replace(self, path: str, text: str | None) -> None:
        """Make `text` all that a file of the disk holds; None removes it. OSError if that can't be."""
        place = self._place(path)
        if text is None:
            remove_file(place)
        else:
            replace_file(place, text.encode(), 0o644)

    def refusal(self, path: str) -> str | None:
        """The errno name (EAGAIN, EACCES, ...) with which an existing file refuses, None when it doesn't."""
        try:
            self._read(path)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "EIO")
        return None

    def real(self, path: str) -> str:
        """The path behind all links, as a path below the root."""
        if self.root == "/":
            return os.path.realpath(f"/{path}").lstrip("/")
        return self._place(path).removeprefix(self.root).lstrip("/")

    def find(self, pattern: str) -> list[str]:
        """The paths that match a shell pattern, numbers in numeric order."""
        return sorted(glob.glob(pattern, root_dir=self.root), key=_numerically)  # noqa: PTH207 - no objects

    def _place(self, path: str) -> str:
        """Where the file really is. Below a moved root an absolute link means the root's, not ours.

        /proc/device-tree and /etc/nvpmodel.conf are such links on a board.
        """
        if self.root == "/":
            return f"/{path}"
        here, parts, links = self.root, path.split("/")[::-1], 0
        while parts:
            part = parts.pop()
            if part == "..":
                here = here if here == self.root else here.rpartition("/")[0]
                continue
            place = f"{here.rstrip('/')}/{part}"
            target = os.readlink(place) if os.path.islink(place) else None  # noqa: PTH114, PTH115 - no objects
            if target is None:
                here = place
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            here = self.root if target.startswith("/") else here
            parts += [one for one in target.split("/")[::-1] if one not in ("", ".")]
        return here

    def text(self, path: str) -> str:
        """As `read`, but OSError says why it can't be read."""
        return self._read(path)

    def exact(self, path: str) -> str | None:
        """As `read`, to the last line end."""
        try:
            return self._bytes(path).decode("utf-8", "replace")
        except OSError:
            return None

    def _read(self, path: str) -> str:
        return self._bytes(path).decode("utf-8", "replace").strip("\0 \t\n")

    def _bytes(self, path: str) -> bytes:
        if self._open is None:
            return _Descriptor(self._place(path)).read()
        kept = self._open.get(path)
        if kept is None:
            kept = self._open[path] = _Descriptor(self._place(path))
        try:
            return kept.read_anew()
        except OSError as error:
            if error.errno not in STAYS:
                self._open.pop(path, None)
            raise


class _Descriptor:
    """An open file; closed when nobody refers to it, and not before, whichever thread still reads."""

    def __init__(self, place: str) -> None:
        self._number = -1
        self._number = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self) -> bytes:
        """All from here on."""
        data = b""
        while len(data) < MOST and (part := os.read(self._number, PAGE)):
            data += part
        return data

    def read_anew(self) -> bytes:
        """All that it holds now: from its start a node is made anew at every read."""
        part = data = os.pread(self._number, PAGE, 0)
        # The end needs no asking for: what is read every second gives less than a page only where it ends.
        while len(part) == PAGE and len(data) < MOST:
            part = os.pread(self._number, PAGE, len(data))
            data += part
        return data

    @property
    def unlinked(self) -> bool:
        """Whether no name leads to it any more: it would be read on, and what stands there now would not."""
        return os.fstat(self._number).st_nlink == 0

    def __del__(self) -> None:
        if self._number >= 0:
            os.close(self._number)


def _numerically(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
