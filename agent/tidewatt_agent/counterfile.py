"""Counters that survive a restart and a power cut.

One small JSON file, replaced whole: written beside, flushed to the disk, renamed over the
old one, and the directory flushed too. It is written before a report leaves, so the file is
never behind what the coordinator was told, and at least every SAVE_EVERY_S: that is the most
a power cut can lose. The counters carry no time of day, so no clock jump can touch them.
"""

import logging
import os
import uuid
from pathlib import Path

import msgspec

from tidewatt_wire.messages import Counters

log = logging.getLogger(__name__)

SAVE_EVERY_S = 10.0


class Kept(msgspec.Struct, frozen=True):
    """What the file holds: the counters' epoch and the counters."""

    epoch: str
    counters: Counters


class CounterFile:
    """The file. Without a path nothing is kept and every start is a new epoch."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failing = False
        self._saved_s: float | None = None

    def load(self) -> Kept:
        """The kept counters, or zeros in a new epoch if there are none or they can't be read.

        A file that can't be read is put aside, never overwritten.
        """
        if self._path is None:
            return _fresh()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return _fresh()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            aside = self._path.with_suffix(".unreadable")
            log.error("counters: %s can't be read (%s); put aside as %s", self._path, error, aside.name)  # noqa: TRY400
            try:
                self._path.replace(aside)
            except OSError as obstacle:
                log.error("counters: %s", obstacle)  # noqa: TRY400
            return _fresh()

    def due(self, now_s: float) -> bool:
        """Whether it is time to save (`now_s`: monotonic seconds)."""
        return self._saved_s is None or now_s - self._saved_s >= SAVE_EVERY_S

    def save(self, kept: Kept, now_s: float) -> None:
        """Replace the file; a failure (disk full, read-only) is logged once and tried again next time."""
        self._saved_s = now_s
        if self._path is None:
            return
        try:
            _replace(self._path, msgspec.json.encode(kept))
        except OSError as error:
            if not self._failing:
                log.error("counters: %s can't be written: %s", self._path, error.strerror)  # noqa: TRY400
            self._failing = True
            return
        if self._failing:
            log.warning("counters: %s is written again", self._path)
        self._failing = False


def _fresh() -> Kept:
    return Kept(uuid.uuid4().hex, Counters())


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
