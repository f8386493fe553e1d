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
FIRST_LOOK = 250


class Quota:
    """Who has said how much lately. Only who said something within the last moments costs memory."""

    def __init__(self, per_s: float = PER_S, breath: int = BREATH) -> None:
        self._each_ms = 1000.0 / per_s
        self._most_ms = breath * self._each_ms
        self._until_ms: dict[str, dict[str, float]] = {}
        """By kind and device: by when all that was said would have been said at the allowed pace."""
        self._look_at: dict[str, int] = {}

    def __len__(self) -> int:
        """Devices and kinds remembered."""
        return sum(map(len, self._until_ms.values()))

    def may(self, device: str, kind: str, now_ms: int) -> bool:
        """Whether one more message is read, which counts it."""
        until = self._until_ms.get(kind)
        if until is None:
            until, self._look_at[kind] = self._until_ms.setdefault(kind, {}), FIRST_LOOK
        behind_ms = until.get(device, 0.0) - now_ms
        if not 0.0 <= behind_ms <= self._most_ms:  # beyond it the clock was set back: that is void
            behind_ms = 0.0
        behind_ms += self._each_ms
        if behind_ms > self._most_ms:
            return False
        until[device] = now_ms + behind_ms
        if len(until) > self._look_at[kind]:
            self._forget(kind, now_ms)
        return True

    def _forget(self, kind: str, now_ms: int) -> None:
        until = {device: at_ms for device, at_ms in self._until_ms[kind].items() if at_ms > now_ms}
        self._until_ms[kind], self._look_at[kind] = until, max(FIRST_LOOK, 2 * len(until))
