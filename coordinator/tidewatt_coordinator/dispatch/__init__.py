"""Dispatch: which backend serves what share of each class, cheapest within the promise.

In the order of the data: `backends`, `classes` and `terms` say what is known; `staleness` and `latency` turn
it into what may be relied on; `pool` is that as arrays; `nested` and `general` solve; `reserve`, `motion` and
`quantise` make it safe to publish; `certificate` says how good it is; `overflow` is what proxies do with a
rise; `weighing` is the whole path and `table` what comes of it. `checker` imports none of the solving and
verifies every table. `fixing` is for weights that are given.
"""

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.quantise import PARTS, largest_remainder

__all__ = ["PARTS", "Backend", "largest_remainder"]
