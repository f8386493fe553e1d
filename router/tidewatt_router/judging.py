"""Which dispatch table is taken and which is refused, for what reason. Pure.

Codes, in the order in which they are looked for: too_big, malformed, unknown_key, bad_signature (the
envelope), unknown_major, invalid, wrong_fleet (the table), older_epoch, expired.
"""

from collections.abc import Sequence

from tidewatt_wire.codec import RefusalReason, Refused, decode
from tidewatt_wire.messages import DispatchTable, TrustedKey
from tidewatt_wire.signing import DISPATCH_TYPE, EnvelopeRefused, open_envelope


class TableRefused(ValueError):
    """A table that was not taken, with the code to count and a sentence to log."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def read_table(envelope: bytes, trusted: Sequence[TrustedKey], fleet: str) -> DispatchTable:
    """The table in the envelope, signed by a trusted key and for this fleet; TableRefused otherwise."""
    try:
        table = decode(DispatchTable, open_envelope(envelope, trusted, DISPATCH_TYPE))
    except EnvelopeRefused as refused:
        raise TableRefused(refused.code, str(refused)) from refused
    except Refused as refused:
        raise TableRefused(refused.reason.value, str(refused)) from refused
    if table.fleet != fleet:
        raise TableRefused("wrong_fleet", f"a table of fleet {table.fleet!r}; this router serves {fleet!r}")
    if table.expires_at_ms <= table.issued_at_ms:
        raise TableRefused(RefusalReason.INVALID.value, "a table that expires before it is issued")
    return table


def judge(table: DispatchTable, newest: DispatchTable | None, now_ms: int) -> None:
    """TableRefused for one that is older than what is held, or past its expiry."""
    if newest is not None and table.epoch <= newest.epoch:
        raise TableRefused("older_epoch", f"epoch {table.epoch}; {newest.epoch} is held already")
    if table.expires_at_ms <= now_ms:
        late_s = (now_ms - table.expires_at_ms) / 1000.0
        raise TableRefused("expired", f"epoch {table.epoch} expired {late_s:.0f} s ago")
