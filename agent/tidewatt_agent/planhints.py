"""What the fleet's plan asks of this board, as it stands: the newest hint that a trusted key signed for it.

It ends by the board's clock or, should that be wrong, so long after it came as it was meant to last.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence

from tidewatt_governor.hints import Enough, Hint
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import TrustedKey
from tidewatt_wire.planned import PlanHint
from tidewatt_wire.signing import PLAN_TYPE, EnvelopeRefused, open_envelope
from tidewatt_wire.topics import PlanTopic

log = logging.getLogger(__name__)

#: No hint is followed for longer than this, in seconds, however long it says.
LONGEST_S = 3600.0
#: Why a hint may be refused, as it is counted.
REASONS = ("malformed", "too_big", "bad_signature", "unknown_key", "foreign", "older", "expired")


class PlanHints:
    """The last good hint; a bad one leaves it standing, an empty one takes it away."""

    def __init__(
        self, fleet: str, device: str, trusted: Callable[[], Sequence[TrustedKey]], clock: Clock
    ) -> None:
        self._fleet, self._device, self._trusted, self._clock = fleet, device, trusted, clock
        self._last: PlanHint | None = None
        self._until_s = 0.0
        self.refused: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        """Hints that could not be believed, by reason."""

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return [str(PlanTopic(self._fleet, self._device))]

    def take(self, payload: bytes) -> None:
        """Take a hint's envelope; why one is refused is counted and logged."""
        if not payload:
            self._last = None
            return
        try:
            hint = decode(PlanHint, open_envelope(payload, self._trusted(), PLAN_TYPE))
        except EnvelopeRefused as error:
            self._refuse(error.code, str(error))
            return
        except Refused as error:
            self._refuse("malformed", str(error))
            return
        if (hint.fleet, hint.device) != (self._fleet, self._device):
            self._refuse("foreign", f"it is for device {hint.device!r} of fleet {hint.fleet!r}")
        elif self._last and hint.issued_at_ms < self._last.issued_at_ms:
            self._refuse("older", "it is older than the one that stands")
        elif self._clock.now_ms() >= hint.expires_at_ms:
            self._refuse("expired", "it was void when it came")
        else:
            self._stand(hint)

    def at(self, now_ms: int, now_s: float) -> Hint | None:
        """The hint that holds at a moment, for the decision."""
        hint = self._last
        if hint is None or now_ms >= hint.expires_at_ms or now_s >= self._until_s:
            return None
        enough = tuple(
            Enough(math.inf if one.most_rps is None else one.most_rps, one.point) for one in hint.enough or ()
        )
        return Hint(
            point=hint.point, until_s=self._until_s, reason=hint.reason, guarded=hint.guarded, enough=enough
        )

    def _stand(self, hint: PlanHint) -> None:
        lasts_s = min(max(0, hint.expires_at_ms - hint.issued_at_ms) / 1000.0, LONGEST_S)
        self._last, self._until_s = hint, self._clock.monotonic_s() + lasts_s

    def _refuse(self, code: str, why: str) -> None:
        self.refused[code] += 1
        log.warning("plan hint refused: %s", why)
