"""Dispatch tables as they come: which is taken, which is refused and why, and which one holds now.

The newest table that was ever taken holds, over restarts too; past its expiry its safe half does.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from tidewatt_router.judging import TableRefused, judge, read_table
from tidewatt_router.keeping import TableFile
from tidewatt_wire.messages import DispatchTable, TrustedKey

log = logging.getLogger(__name__)


class Tables:
    """The table that is held. `trusted` is asked at every table: a key that is added needs no restart."""

    def __init__(self, fleet: str, trusted: Callable[[], Sequence[TrustedKey]], file: TableFile) -> None:
        self._fleet, self._trusted, self._file = fleet, trusted, file
        self._envelope = b""
        self.table: DispatchTable | None = None
        """The newest that was taken, expired or not."""
        self.refused: Counter[str] = Counter()
        self.taken = 0

    def load(self) -> None:
        """Take up what an earlier run kept, if its signature is still to be trusted."""
        if envelope := self._file.load():
            try:
                self.table = read_table(envelope, self._trusted(), self._fleet)
            except (TableRefused, OSError, ValueError) as error:
                log.error("the kept table is not used: %s", error)  # noqa: TRY400
                return
            self._envelope = envelope
            log.info("epoch %d is held, as kept", self.table.epoch)

    def offer(self, envelope: bytes, now_ms: int) -> bool:
        """Take the table or refuse it; whether it was taken. One that is held already is neither."""
        if envelope == self._envelope:
            return False
        try:
            table = read_table(envelope, self._trusted(), self._fleet)
            judge(table, self.table, now_ms)
        except TableRefused as refused:
            self.refused[refused.code] += 1
            log.warning("table refused: %s: %s", refused.code, refused)
            return False
        except (OSError, ValueError) as error:  # the keys' file
            self.refused["unknown_key"] += 1
            log.warning("table refused: unknown_key: %s", error)
            return False
        self.table, self._envelope = table, envelope
        self.taken += 1
        self._file.keep(envelope)
        return True
