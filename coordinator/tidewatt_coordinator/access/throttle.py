"""Patience with wrong keys and passwords: after some the next has to wait, ever longer. Pure.

A lock is of an address with a name, so that nobody can lock another out of his own place; and of an address
alone after more, whoever it says that it is. Memory is bounded: the oldest is forgotten first.
"""

import ipaddress
from collections import OrderedDict

#: Wrong tries that cost nothing: of one name from one address, and of one address.
FREE_OF_NAME, FREE_OF_ADDRESS = 5, 30
#: Seconds after the first that costs; each further one doubles them.
FIRST_S, LONGEST_S = 1.0, 900.0
#: What is forgotten after so long without a wrong try.
KEPT_S = 3600.0
MOST = 10_000


class Throttle:
    """Who has to wait. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        """How often, and when last; the newest at the end."""

    def wait_s(self, address: str, name: str, now_s: float) -> float:
        """How long this one has to wait; 0 if not at all."""
        place = place_of(address)
        return max(
            self._wait(place, name, FREE_OF_NAME, now_s), self._wait(place, "", FREE_OF_ADDRESS, now_s)
        )

    def wrong(self, address: str, name: str, now_s: float) -> None:
        """It was wrong."""
        place = place_of(address)
        for key in {(place, name), (place, "")}:
            count, last_s = self._wrong.pop(key, (0, now_s))
            self._wrong[key] = (1 if now_s - last_s > KEPT_S else count + 1, now_s)
        while len(self._wrong) > MOST:
            self._wrong.popitem(last=False)

    def right(self, address: str, name: str) -> None:
        """It was right: this name's tries from there are forgotten; the address' are not."""
        if name:
            self._wrong.pop((place_of(address), name), None)

    def __len__(self) -> int:
        return len(self._wrong)

    def _wait(self, place: str, name: str, free: int, now_s: float) -> float:
        count, last_s = self._wrong.get((place, name), (0, now_s))
        if count < free:
            return 0.0
        lasts_s = min(LONGEST_S, FIRST_S * 2.0 ** min(count - free, 20))
        return max(0.0, last_s + lasts_s - now_s)


def place_of(address: str) -> str:
    """The address; of IPv6 its network of 64 bits, which one customer has all of."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:  # noqa: PLR2004 - IPv4
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
