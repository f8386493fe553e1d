"""What Prometheus says of the past and of this moment, for drivers."""

from collections.abc import Callable, Mapping

from tidewatt_coordinator.levers.driver import LeverError
from tidewatt_coordinator.sla.evidence import Evidence, EvidenceError

DAY_MS = 86_400_000
#: Between two points of a history: 30 days of them are fewer than the 11,000 that Prometheus gives.
STEP_S = 300
#: What is older than this is no news.
NEWS_MS, NEWS_STEP_S = 300_000, 15


class History:
    """One Prometheus. A query has one series as its answer."""

    def __init__(self, url: str, token_file: str, now_ms: Callable[[], int]) -> None:
        self._evidence, self._now_ms = Evidence(url, token_file), now_ms

    def newest(self, query: str) -> float | None:
        """The last value; None if there is none of the last minutes, or Prometheus can't be asked."""
        now_ms = self._now_ms()
        try:
            found = self._evidence.ask(query, now_ms - NEWS_MS, now_ms, NEWS_STEP_S)
        except (EvidenceError, OSError):
            return None  # whoever asks leaves things as they are, and says so
        return found[max(found)] if found else None

    def history(self, query: str, days: int) -> Mapping[int, float]:
        """The last days. LeverError if Prometheus can't be asked."""
        now_ms = self._now_ms()
        try:
            return self._evidence.ask(query, now_ms - days * DAY_MS, now_ms, STEP_S)
        except (EvidenceError, OSError) as error:
            raise LeverError(str(error)) from error
