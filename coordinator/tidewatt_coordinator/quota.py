"""How much of what one device says is read: so many messages a second, and a long breath. Pure.

A fleet shares one coordinator, and a device that floods it must cost itself its reports, not the others
theirs. Counters are cumulative, so what isn't read costs detail in time and no joule. The breath is an hour
of reports, one a second: what the broker kept while the coordinator was away comes all at once.
"""

#: Messages a second that are read of one device and kind, in the long run; an agent says one at the most, and
#: replays two.
PER_S = 20.0
#: Messages that may come at once.
BREATH = 4000
#: Devices that may be behind before those that aren't any more are looked for.
FIRST_LOOK = 1000


class Quota:
    """Who has said how much lately. Only who said something within the last moments costs memory."""

    def __init__(self, per_s: float = PER_S, breath: int = BREATH) -> None:
        self._each_ms = 1000.0 / per_s
        self._most_ms = breath * self._each_ms
        self._until_ms: dict[tuple[str, str], float] = {}
        """By device and kind: by when all that was said would have been said at the allowed pace."""
        self._look_at = FIRST_LOOK

    def __len__(self) -> int:
        """Devices and kinds remembered."""
        return len(self._until_ms)

    def may(self, device: str, kind: str, now_ms: int) -> bool:
        """Whether one more message is read, which counts it."""
        key = device, kind
        until_ms = max(self._until_ms.get(key, 0.0), float(now_ms))
        behind_ms = until_ms - now_ms
        if behind_ms > self._most_ms:  # the clock was set back: what was counted then is void
            until_ms, behind_ms = float(now_ms), 0.0
        if behind_ms + self._each_ms > self._most_ms:
            return False
        self._until_ms[key] = until_ms + self._each_ms
        if len(self._until_ms) > self._look_at:
            self._forget(now_ms)
        return True

    def _forget(self, now_ms: int) -> None:
        self._until_ms = {key: until for key, until in self._until_ms.items() if until > now_ms}
        self._look_at = max(FIRST_LOOK, 2 * len(self._until_ms))
