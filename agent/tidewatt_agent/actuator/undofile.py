"""What to put back, on disk before anything is changed: undo.json.

A kill at any instant leaves either no file (nothing was changed) or a file that says how the board
was found. It is removed only after reading back showed that everything is as found.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """How the board was found: its mode (None: it wasn't changed), and values by node in order of change."""

    mode_id: int | None = None
    nodes: dict[str, int] = {}

    def with_mode(self, mode_id: int) -> "Undo":
        """Remember the mode found, unless an earlier one is remembered."""
        return self if self.mode_id is not None else msgspec.structs.replace(self, mode_id=mode_id)

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
        new = self._path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(undo))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(self._path)
        self._sync_folder()

    def forget(self) -> None:
        """Everything is as found: remove it."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
            self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
