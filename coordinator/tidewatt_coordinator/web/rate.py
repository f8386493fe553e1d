"""How often a caller may ask: a bucket of tokens for each, of which there are so many at the most. Pure."""

import ipaddress
from collections import OrderedDict

#: Callers remembered; of those forgotten, the ones that asked longest ago, the bucket is full again.
MOST_CALLERS = 10_000


class Rate:
    """Not thread-safe: the event loop asks it."""

    def __init__(self, per_second: float, burst: int, most: int = MOST_CALLERS) -> None:
        """`per_second` of 0: no limit."""
        self._per_second, self._burst, self._most = per_second, float(burst), most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens left, and when that was so, in seconds."""

    def wait_s(self, caller: str, now_s: float) -> float:
        """0 if the caller may ask now, which takes a token; else the seconds until it may."""
        if not self._per_second:
            return 0.0
        tokens, then_s = self._left.pop(caller, (self._burst, now_s))
        tokens = min(self._burst, tokens + max(0.0, now_s - then_s) * self._per_second)
        may = tokens >= 1.0
        self._left[caller] = (tokens - 1.0 if may else tokens, now_s)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0.0 if may else (1.0 - tokens) / self._per_second

    def __len__(self) -> int:
        """Callers remembered."""
        return len(self._left)


def caller_of(host: str) -> str:
    """Who counts as one: an address, of IPv6 the /64 that one customer is given."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
