"""What the weights must keep to, whatever the cost. Pure data."""

import msgspec

from tidewatt_coordinator.dispatch.quantise import PARTS


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The promise about stale data, and how fast weights may move."""

    fill: float = 0.85
    """Share of a backend's capacity that is planned on: queues grow without bound towards 1."""
    capacity_loss_per_s: float = 0.0005
    """Share of its capacity that a backend may lose per second unseen: 3 % a minute, a board that heats."""
    demand_growth_per_s: float = 0.001
    """Share by which demand may grow per second unseen: 6 % a minute, the steep end of a morning."""
    held: bool = False
    """Whether proxies hold backends to what they can take (see overflow). Then weights fit what was measured,
    and what may have changed since is in the holds alone: margins in both would be paid for twice."""
    interval_s: float = 10.0
    """Until the next table is in force: data age on meanwhile."""
    expire_s: float = 60.0
    """A capacity older than this is not one."""
    absorb_loss: bool = True
    """Whether the others shall stay within their capacity when any one domain is lost."""
    mixture: bool = False
    """Whether a promise is kept by the mixture of backends (exact, a linear program), or by each of them."""
    doubt: float = 0.01
    """Chance that a latency distribution is worse than its margin says (DKW)."""
    explore: float = 0.0005
    """Share of an even split that a backend gets at least, so that what it can do stays known."""
    spread: float = 0.001
    """Of the strictly convex term, as a share of the mean cost: near equals share."""
    motion: float = 0.25
    """L1 change of a class's shares per table, save for safety."""
    hysteresis: float = 0.001
    """A table that saves less than this share of the cost is not worth moving for."""
    parts: int = PARTS
    """Whole parts that a class is split in, at least."""
