"""Counters that survive a restart and a power cut.

One small JSON file, replaced whole: written beside, flushed to the disk, renamed over the
old one, and the directory flushed too. It is written before a report leaves, so the file is
never behind what the coordinator was told, and at least every `every_s`: that is the most
a power cut can lose. The counters carry no time of day, so no clock jump can touch them.

When the disk fails, the kept epoch stops where the file stands and what follows is told in
an epoch of its own that is kept nowhere: a restart then goes on with the file's counters,
which the coordinator has seen no further than that, and nothing is hidden or told twice.
What the file had and nobody was told yet is owed then: a last report of the epoch that ended, which
the file keeps, too, until it was told often enough.
"""

import logging
import threading
import uuid
from pathlib import Path

import msgspec

from tidewatt_agent.farewells import Farewell, Farewells
from tidewatt_link.durable import replace_file
from tidewatt_wire.messages import Counters, Gauges, Report

log = logging.getLogger(__name__)

SAVE_EVERY_S = 10.0


class Kept(msgspec.Struct, frozen=True):
    """What the file holds: the counters' epoch and the counters."""

    epoch: str
    counters: Counters
    farewells: tuple[Farewell, ...] = ()
    """The last reports of epochs before it."""


class _Counted(msgspec.Struct, frozen=True):
    """Of what the file holds, that without which nothing can go on."""

    epoch: str
    counters: Counters


class CounterFile:
    """The file. Without a path nothing is kept and every start is a new epoch."""

    def __init__(self, path: Path | None, every_s: float = SAVE_EVERY_S) -> None:
        self._path, self._every_s = path, every_s
        self._lock = threading.Lock()
        self._saved_s: float | None = None
        self._epoch: str | None = None
        """The epoch that began when the disk failed; None while the first one holds."""
        self._base = Counters()
        """What had been counted when it began."""
        self._good = Counters()
        """What the last good write held, all epochs of this process together."""
        self._failing = False
        self._farewells = Farewells()

    def load(self) -> Kept:
        """The kept counters, or zeros in a new epoch if there are none or they can't be read.

        A file that can't be read is put aside, never overwritten.
        """
        kept = self._read() if self._path else _fresh()
        self._good, self._farewells = kept.counters, Farewells(kept.farewells)
        return kept

    def due(self, now_s: float) -> bool:
        """Whether it is time to save (`now_s`: monotonic seconds)."""
        return self._saved_s is None or now_s - self._saved_s >= self._every_s

    def keep(self, report: Report, now_s: float) -> Report:
        """Keep the report's counters, and give the report as it may be told. For any thread.

        Where the disk fails, what was counted since the last good write becomes a new epoch, which
        nothing told before belongs to; when the disk works again, that epoch is what is kept.
        """
        with self._lock:
            self._saved_s = now_s
            if self._path is None or self._write(self._path, self._told(report)):
                self._good = report.counters
            elif not self._failing:
                if self._holds(self._path, self._told(report)):
                    self._good = report.counters
                # The file is written more often than is told: what it has, its epoch never says again. Of how
                # the board stood it says nothing: that is in the next report, and this one is kept often.
                bare = msgspec.structs.replace(report, counters=self._good, gauges=Gauges(), verdict=None)
                self._farewells.add(self._told(bare))
                self._failing, self._epoch, self._base = True, uuid.uuid4().hex, self._good
            return self._told(report)

    def owed(self, now_s: float, *, heard: bool = True) -> list[Report]:
        """The last reports of epochs that ended, to be told before anything else; infinite: before we end.

        `heard`: whether there is a broker; else those that were told before wait for one.
        """
        with self._lock:
            return self._farewells.due(now_s, heard=heard)

    def _told(self, report: Report) -> Report:
        if self._epoch is None:
            return report
        return msgspec.structs.replace(
            report, epoch=self._epoch, counters=_since(self._base, report.counters)
        )

    def _write(self, path: Path, told: Report) -> bool:
        kept = Kept(told.epoch, told.counters, self._farewells.kept)
        try:
            replace_file(path, msgspec.json.encode(kept))
        except OSError as error:
            if not self._failing:
                log.error(  # noqa: TRY400 - the sentence says it all
                    "counters: %s can't be written: %s; until it can, they don't outlive this process",
                    path,
                    error.strerror,
                )
            return False
        if self._failing:
            log.info("counters: %s can be written again", path)
            self._failing = False
        return True

    def _holds(self, path: Path, told: Report) -> bool:
        """Whether the file was replaced all the same: its folder alone could not be flushed."""
        try:
            found = _decoded(path.read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return False
        return (found.epoch, found.counters) == (told.epoch, told.counters)

    def _read(self) -> Kept:
        assert self._path is not None  # noqa: S101 - asked by load
        try:
            return _decoded(self._path.read_bytes())
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


def _decoded(raw: bytes) -> Kept:
    """DecodeError. An agent of another version may have kept last reports that we can't read."""
    try:
        return msgspec.json.decode(raw, type=Kept)
    except msgspec.ValidationError as error:
        found = msgspec.json.decode(raw, type=_Counted)
        log.warning("counters: the last reports of epochs before can't be read (%s)", error)
        return Kept(found.epoch, found.counters)


def _fresh() -> Kept:
    return Kept(uuid.uuid4().hex, Counters())


def _since(before: Counters, now: Counters) -> Counters:
    scalars = [name for name in Counters.__struct_fields__ if name != "mode_ms"]
    return Counters(
        mode_ms={mode: ms - before.mode_ms.get(mode, 0) for mode, ms in now.mode_ms.items()},
        **{name: getattr(now, name) - getattr(before, name) for name in scalars},
    )
