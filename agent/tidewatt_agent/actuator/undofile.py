"""What to put back, on disk before anything is changed: undo.json.

A kill at any instant leaves either no file (nothing was changed) or a file that says how the board
was found. It is removed only after reading back showed that everything is as found.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tidewatt_agent.durable import remove_file, replace_file


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """How the board was found: its mode (None: it wasn't changed), and values by node in order of change.

    `status`: with a mode, the text of nvpmodel's status file; None where there was none.
    """

    mode_id: int | None = None
    status: str | None = None
    nodes: dict[str, int] = {}

    def with_mode(self, mode_id: int, status: str | None) -> "Undo":
        """Remember the mode found, unless an earlier one is remembered."""
        if self.mode_id is not None:
            return self
        return msgspec.structs.replace(self, mode_id=mode_id, status=status)

    def with_nodes(self, nodes: Mapping[str, int]) -> "Undo":
        """Remember nodes that are about to change; of one that changed before, its first value."""
        new = {path: value for path, value in nodes.items() if path not in self.nodes}
        return msgspec.structs.replace(self, nodes={**self.nodes, **new})

    @property
    def empty(self) -> bool:
        """Whether there is nothing to put back."""
        return self.mode_id is None and not self.nodes


class UndoFile:
    """The file. Writing is atomic: whole or not at all, and on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Undo:
        """What is to be put back; nothing if there is no file. A file that is no Undo raises ValueError."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Undo)
        except FileNotFoundError:
            return Undo()
        except msgspec.DecodeError as error:
            raise ValueError(f"{self._path} can't be read: {error}") from error

    def keep(self, undo: Undo) -> None:
        """Put it on the disk. Raises OSError if that can't be: then nothing may be changed."""
        replace_file(self._path, msgspec.json.encode(undo))

    def forget(self) -> None:
        """Everything is as found: remove it."""
        remove_file(self._path)
