"""The hint to sleep, as it stands: the newest that was signed by a trusted key for this device."""

import logging
from collections.abc import Callable, Sequence

from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import TrustedKey
from tidewatt_wire.signing import HINT_TYPE, EnvelopeRefused, open_envelope
from tidewatt_wire.sleeping import SleepHint
from tidewatt_wire.topics import HintTopic

log = logging.getLogger(__name__)


class Hints:
    """The last good hint; a bad one leaves it standing, an empty one takes it away."""

    def __init__(self, fleet: str, device: str, trusted: Callable[[], Sequence[TrustedKey]]) -> None:
        self._fleet, self._device, self._trusted = fleet, device, trusted
        self._last: SleepHint | None = None
        self._newest_ms = 0
        self.refused = 0
        """Hints that could not be believed."""

    @property
    def topic(self) -> str:
        """Where they come."""
        return str(HintTopic(self._fleet, self._device))

    def take(self, payload: bytes) -> None:
        """Take a hint's envelope; why one is refused is logged."""
        if not payload:
            self._last, self._newest_ms = None, 0
            return
        try:
            hint = decode(SleepHint, open_envelope(payload, self._trusted(), HINT_TYPE))
        except (EnvelopeRefused, Refused) as error:
            self._refuse(str(error))
            return
        if (hint.fleet, hint.device) != (self._fleet, self._device):
            self._refuse(f"it is for device {hint.device!r} of fleet {hint.fleet!r}")
        elif hint.issued_at_ms < self._newest_ms:
            self._refuse("it is older than the one before")
        else:
            self._last, self._newest_ms = hint, hint.issued_at_ms

    def forget(self) -> None:
        """A nap is over. What the broker still holds comes with the next connection; what was taken away
        while the board slept doesn't, and must not send it to sleep again.
        """
        self._last = None

    def at(self, now_ms: int) -> SleepHint | None:
        """The hint that holds at a moment."""
        return self._last if self._last and now_ms < self._last.expires_at_ms else None

    def _refuse(self, why: str) -> None:
        self.refused += 1
        log.warning("sleep hint refused: %s", why)
