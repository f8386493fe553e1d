"""How often the door may be tried. Pure: time is an argument."""

from collections import OrderedDict

#: Wrong requests from one address: so many at once, then one in so many seconds.
WRONG_AT_ONCE, WRONG_EVERY_S = 10, 30.0
#: All requests together: a fleet of thousands enrols in minutes, and signing never fills a processor.
ALL_AT_ONCE, ALL_EVERY_S = 100, 0.02
#: Addresses that are remembered; beyond, the one that was quiet longest is forgotten.
MOST_ADDRESSES = 10_000


class Bucket:
    """Holds `most` tries and fills by one every `every_s` seconds."""

    def __init__(self, most: int, every_s: float) -> None:
        self._most, self._every_s = most, every_s
        self._left, self._at_s = float(most), 0.0

    def left(self, now_s: float) -> float:
        """How many tries there are now."""
        self._left = min(self._most, self._left + max(0.0, now_s - self._at_s) / self._every_s)
        self._at_s = max(self._at_s, now_s)
        return self._left

    def take(self, now_s: float) -> bool:
        """Take one, if there is one."""
        if self.left(now_s) < 1.0:
            return False
        self._left -= 1.0
        return True


class Limit:
    """What one address may do wrong, and what all may do together."""

    def __init__(self) -> None:
        self._all = Bucket(ALL_AT_ONCE, ALL_EVERY_S)
        self._wrong: OrderedDict[str, Bucket] = OrderedDict()

    def admits(self, address: str, now_s: float) -> bool:
        """Whether a request from there may be answered now."""
        known = self._wrong.get(address)
        if known and known.left(now_s) < 1.0:
            return False
        return self._all.take(now_s)

    def was_wrong(self, address: str, now_s: float) -> None:
        """Count a request that was refused."""
        self._wrong.setdefault(address, Bucket(WRONG_AT_ONCE, WRONG_EVERY_S)).take(now_s)
        self._wrong.move_to_end(address)
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)
