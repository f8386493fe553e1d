"""One file per proxy, one protocol for all: have the routes share out as wanted, and look whether they do."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from tidewatt_router.splits import Split, Wanted


class CannotApply(Exception):
    """The proxy does not do as wanted; one sentence says why. What it did before, it still does."""


class Achieved(msgspec.Struct, frozen=True):
    """What a route does after rounding."""

    shares: Mapping[str, float]
    """By backend, of the requests that are not refused: 0 to 1."""
    shed: float = 0.0
    """Of all requests, those that are refused."""


class Proxy(Protocol):
    """A proxy on this host, or an API that configures one. `apply` may be called any number of times."""

    name: str
    """nginx, haproxy, envoy, gateway."""
    pause_s: float
    """Seconds that lie between two changes, but for one that takes a backend's traffic away."""

    def weights(self, split: Split) -> Mapping[str, int]:
        """The whole numbers that the proxy is given, by backend."""
        ...

    def achieved(self, split: Split) -> Achieved:
        """What the route does with those."""
        ...

    def render(self, wanted: Wanted) -> str:
        """What is written or sent, for a person to read."""
        ...

    def apply(self, wanted: Wanted) -> None:
        """Have the proxy do it, and read back that it does. Blocks. Raises CannotApply."""
        ...

    def stands(self, wanted: Wanted) -> bool:
        """Whether the proxy does it, now. Blocks. CannotApply where it can't be asked."""
        ...

    def check(self) -> None:
        """Whether it could be made to, without changing anything. Raises CannotApply."""
        ...
