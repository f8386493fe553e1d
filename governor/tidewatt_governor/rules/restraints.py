"""What holds back a switch that only saves.

None of these is asked when the promise, or a limit, needs the switch.
"""

from collections.abc import Callable

import msgspec

from tidewatt_governor.rules.asking import Question
from tidewatt_governor.state import HOUR_S
from tidewatt_wire.messages import OperatingPoint


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A switch that would save `saving_w` watts at the present rate; both points carry the demand."""

    question: Question
    here: OperatingPoint
    there: OperatingPoint
    saving_w: float

    @property
    def held_s(self) -> float:
        """Seconds since the last switch."""
        return self.question.now_s - self.question.state.since_s

    @property
    def stay(self) -> str:
        """How the sentence of one that is held back begins."""
        return f" and would save {self.saving_w:.1f} W: stay at {self.here.name}"


#: Why the switch is held back, as the sentence's end; None where it isn't.
Restraint = Callable[[Move], str | None]


def dwell(move: Move) -> str | None:
    """No sooner than the dwell after the last switch."""
    least_s = move.question.policy.min_dwell_s
    if move.held_s >= least_s:
        return None
    return f"{move.stay}, {move.held_s:.0f} s of {least_s:.0f} s dwell since last switch"


def quiet_hours(move: Move) -> str | None:
    """Not in the policy's quiet hours."""
    return f"{move.stay}, these are quiet hours" if move.question.situation.quiet else None


def switches_per_hour(move: Move) -> str | None:
    """Not when the last hour has seen as many switches as the policy allows."""
    most, now_s = move.question.policy.max_switches_per_hour, move.question.now_s
    count = sum(at_s > now_s - HOUR_S for at_s in move.question.state.switches)
    if most is None or count < most:
        return None
    return f"{move.stay}, {count} of {most} switches made in the last hour"


def not_worth_it(move: Move) -> str | None:
    """Not unless the saving over one dwell, the least it will last, repays the switch.

    Dear or dirty energy makes a saving worth more, and changes nothing else.
    """
    policy, world = move.question.policy, move.question.situation
    weight = policy.energy_weight * world.energy_price_weight * world.carbon_weight
    if move.saving_w * weight * max(policy.min_dwell_s, 1.0) >= policy.switch_cost_j:
        return None
    return f" but saves only {move.saving_w:.2f} W: stay at {move.here.name}"


RESTRAINTS: tuple[Restraint, ...] = (dwell, quiet_hours, switches_per_hour, not_worth_it)
