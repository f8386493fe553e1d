"""How good a proposal is: the share it saves by the share it disturbs. Pure."""

import hashlib

from tidewatt_coordinator.levers.driver import Recommendation
from tidewatt_coordinator.levers.standing import canonical

#: What disturbs less than this isn't told apart from it.
LEAST_DISRUPTION = 0.001


def score(one: Recommendation) -> float | None:
    """Saving as a share of what is spent, by the share disturbed; None where the spending isn't known."""
    if not one.spending or one.spending <= 0:
        return None
    return float(one.saving.middle / one.spending) / max(one.disruption, LEAST_DISRUPTION)


def same(one: Recommendation) -> str:
    """The digest of what it would do: of two that do the same, the later is the former told anew."""
    parts = (one.driver.encode(), one.target.encode(), canonical(one.before), canonical(one.after))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
