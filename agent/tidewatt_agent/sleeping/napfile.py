"""The nap that is under way, on the disk: whoever starts and finds one knows that it never ended well."""

from pathlib import Path

import msgspec

from tidewatt_link.durable import remove_file, replace_file

FILE_NAME = "nap.json"


class Begun(msgspec.Struct, frozen=True):
    """A nap that began: in which boot, when, and for how long."""

    boot: str
    began_ms: int
    planned_s: float


class NapFile:
    """The file. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def keep(self, begun: Begun) -> None:
        """Put it on the disk. Raises OSError: then the board isn't let asleep."""
        if self._path:
            replace_file(self._path, msgspec.json.encode(begun))

    def load(self) -> Begun | None:
        """The nap that was not seen to end. A file that is none tells of one, too: of no known boot."""
        if self._path is None:
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Begun)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return Begun("", 0, 0.0)

    def forget(self) -> None:
        """It has ended."""
        if self._path:
            remove_file(self._path)
