"""What to put back, on disk before anything is changed: undo.json.

A kill at any instant leaves either no file (nothing was changed) or a file that says how the board
was found. It is removed only after reading back showed that everything is as found.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from tidewatt_agent.actuator import onfile
from tidewatt_link.durable import FilePath, remove_file, replace_file

#: What is unreadable is not guessed.
MEND = "set the board's mode by hand, then remove the file"


class Undo(NamedTuple):
    """How the board was found: its mode by id and name (None: nothing was changed), and values by node.

    `status`: the text of nvpmodel's status file; None where there was none. `ours`: the modes that were asked
    for since; what stands in another is somebody else's doing.
    """

    mode_id: int | None = None
    mode_name: str | None = None
    status: str | None = None
    ours: Sequence[int] = ()
    nodes: Mapping[str, int] = MappingProxyType({})

    def with_mode(self, mode_id: int, name: str | None, status: str | None) -> "Undo":
        """Remember the mode found, unless an earlier one is remembered."""
        if self.mode_id is not None:
            return self
        return self._replace(mode_id=mode_id, mode_name=name, status=status)

    def with_ours(self, mode_id: int) -> "Undo":
        """Remember that this mode is asked for."""
        return self._replace(ours=sorted({*self.ours, mode_id}))

    def with_nodes(self, nodes: Mapping[str, int]) -> "Undo":
        """Remember nodes that are about to change; of one that changed before, its first value."""
        new = {path: value for path, value in nodes.items() if path not in self.nodes}
        return self._replace(nodes={**self.nodes, **new})

    @property
    def empty(self) -> bool:
        """Whether there is nothing to put back."""
        return self.mode_id is None and not self.nodes


FIELDS: onfile.Fields = {
    "mode_id": onfile.optional(onfile.integer),
    "mode_name": onfile.optional(onfile.text),
    "status": onfile.optional(onfile.text),
    "ours": onfile.each(onfile.integer),
    "nodes": onfile.each_by_name(onfile.integer),
}


class UndoFile:
    """The file. Writing is atomic: whole or not at all, and on the disk when it returns."""

    def __init__(self, path: FilePath) -> None:
        self._path = path

    def load(self) -> Undo:
        """What is to be put back; nothing if there is no file.

        A file that is no Undo, or that others than root could have written, raises ValueError.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return Undo()
        except OSError as error:
            raise ValueError(f"{self._path} can't be read: {error.strerror}; {MEND}") from error
        found = os.fstat(descriptor)
        mine = found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(found.st_mode) or not mine:
            os.close(descriptor)
            raise ValueError(f"{self._path} is no file that only root can write; {MEND}")
        with os.fdopen(descriptor, "rb") as file:
            try:
                return Undo(**onfile.read(file.read(), FIELDS))
            except ValueError as error:
                raise ValueError(f"{self._path} can't be read: {error}; {MEND}") from error

    def keep(self, undo: Undo) -> None:
        """Put it on the disk. Raises OSError if that can't be: then nothing may be changed."""
        replace_file(self._path, onfile.write(undo._asdict()))

    def forget(self) -> None:
        """Everything is as found: remove it."""
        remove_file(self._path)
