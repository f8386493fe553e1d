"""Cost spikes: a limit that was agreed upon before is put in force while something costs too much.

A function's reserved concurrency, or an Auto Scaling group's greatest size. When the spike is over, the usual
value is proposed again; taking the change back does the same at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.anomalies.groups import Found
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
from tidewatt_coordinator.levers.driver import (
    Context,
    Effect,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.settings import Brake, CostSpike
from tidewatt_coordinator.levers.standing import expected

FUNCTION, GROUP = "lambda_concurrency", "asg_max_size"
PARTS = {FUNCTION: "ReservedConcurrentExecutions", GROUP: "MaxSize"}
SERVICES = {FUNCTION: "lambda", GROUP: "autoscaling"}
#: How long a spike would have lasted: a day at the least, a month at the most, a week as a guess.
LEAST_DAYS, GUESSED_DAYS, MOST_DAYS = 1, 7, 30
CENT = Decimal("0.01")
NOTHING = Decimal(0)


class Spike(msgspec.Struct, frozen=True, kw_only=True):
    """A day that cost too much."""

    day: str
    cost: Decimal
    expected: Decimal
    by: str
    currency: str


class CostSpikeDriver:
    """See levers/driver.py."""

    name = "cost_spike"
    calls = (
        "lambda:GetFunctionConcurrency",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:UpdateAutoScalingGroup",
    )

    def __init__(self, settings: CostSpike, sights: Sights) -> None:
        self._settings, self._sights = settings, sights
        self._brakes = {target_of(one): one for one in settings.brakes}

    def probe(self) -> Probe:
        """Needs boto3 and brakes."""
        return installed() if self._brakes else Probe("no", "levers.cost_spike.brakes names none")

    def observe(self) -> Sequence[Setting]:
        """Every brake, with the dearest spike that it is there for."""
        try:
            spikes = self._sights.spikes(self._settings.days)
        except CostError as error:
            raise LeverError(str(error)) from error
        found = []
        for target, brake in self._brakes.items():
            spike = _dearest(brake, spikes)
            one = self.read(target)
            told = {**one.facts, "spike": msgspec.to_builtins(spike) if spike else None}
            found.append(msgspec.structs.replace(one, facts=told))
        return found

    def read(self, target: str) -> Setting:
        """The limit as it is; null where there is none."""
        brake = self._brakes.get(target)
        if brake is None:
            raise LeverError(f"levers.cost_spike.brakes has no {target}")
        with self._asked(brake) as cloud:
            value, running = _now(cloud, brake)
        return Setting(
            target=target,
            content={PARTS[brake.kind]: value},
            settled=value is None or running <= value,
            facts={"running": running},
        )

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Brake where a spike is and the limit isn't; give free where the limit is and no spike."""
        found = []
        for one in settings:
            brake, spike = self._brakes[one.target], one.facts["spike"]
            value = one.content[PARTS[brake.kind]]
            if spike and (value is None or value > brake.limit):
                found.append(self._brake(one, brake, msgspec.convert(spike, Spike)))
            elif not spike and value == brake.limit:
                found.append(_release(one, brake, context))
        return found

    def send(self, order: Order) -> None:
        """Put the limit, or take it away."""
        brake = self._brakes.get(order.target)
        if brake is None:
            raise LeverError(f"levers.cost_spike.brakes has no {order.target}")
        part = PARTS[brake.kind]
        with self._asked(brake) as cloud:
            value, _ = _now(cloud, brake)
            if not expected(order.expect, {part: value}):
                raise Lost(f"{order.target}: {part} is {value}, not {order.expect.get(part)}")
            _put(cloud, brake, order.put[part])

    def _brake(self, one: Setting, brake: Brake, spike: Spike) -> Recommendation:
        excess = spike.cost - spike.expected
        least, most = (Decimal(str(share)) for share in self._settings.saves)
        low, high = excess * least * LEAST_DAYS, excess * most * MOST_DAYS
        middle = excess * (least + most) / 2 * GUESSED_DAYS
        part, running = PARTS[brake.kind], int(one.facts["running"])
        ends = max(0, running - brake.limit)
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=brake.service,
            what=f"limit {brake.name} to {brake.limit} ({part}) while {brake.value} costs too much",
            before=one.content,
            after={part: brake.limit},
            saving=Saving(
                low=low.quantize(CENT),
                middle=middle.quantize(CENT),
                high=high.quantize(CENT),
                currency=spike.currency,
            ),
            spending=(spike.cost * MOST_DAYS).quantize(CENT),  # a month of such days
            disruption=brake.disruption,
            capacity=ends / running if running else 0.0,
            risk=brake.risk,
            evidence=[
                (
                    f"{brake.value} cost {spike.cost:,.2f} {spike.currency} on {spike.day} so far;"
                    f" {spike.expected:,.2f} is ordinary: {spike.by}"
                ),
                (
                    f"it is thought to end {least:.0%} to {most:.0%} of the excess, for {LEAST_DAYS} to"
                    f" {MOST_DAYS} days"
                ),
                *_ended(ends, running),
            ],
            effects=_effects(brake),
        )

    @contextmanager
    def _asked(self, brake: Brake) -> Iterator[Aws]:
        with aws(SERVICES[brake.kind], self._settings) as cloud:
            yield cloud


def target_of(brake: Brake) -> str:
    """What a brake sets, as people name it."""
    return f"{SERVICES[brake.kind]} {brake.name}"


def _release(one: Setting, brake: Brake, context: Context) -> Recommendation:
    part = PARTS[brake.kind]
    return Recommendation(
        driver=CostSpikeDriver.name,
        target=one.target,
        service=brake.service,
        what=f"give {brake.name} free again: {brake.value} costs no more than usual",
        before=one.content,
        after={part: brake.usual},
        saving=Saving(low=NOTHING, middle=NOTHING, high=NOTHING, currency=context.currency),
        disruption=0.0,
        risk="low",
        evidence=[f"no day of {brake.value} costs too much any more"],
        routine=True,
    )


def _ended(ends: int, running: int) -> list[str]:
    # Lowering the greatest size below what runs lowers what is desired, too, and nothing but the group's
    # own scaling raises that again.
    if not ends:
        return []
    return [f"{ends} of {running} instances end; given free, the group's own scaling brings them back"]


def _effects(brake: Brake) -> dict[str, Effect] | None:
    if brake.more_errors is None:
        return None
    return {
        "error_rate": Effect(plus=brake.more_errors),
        "availability": Effect(plus=-brake.more_errors),
    }


def _dearest(brake: Brake, spikes: Sequence[Found]) -> Spike | None:
    by = f"tag:{brake.tag}" if brake.watch == "tag" else brake.watch
    # By its level alone: beside a yesterday that isn't billed whole yet any day looks sudden.
    mine = [
        one for one in spikes if (one.by, one.value) == (by, brake.value) and "level" in one.verdict.kinds
    ]
    if not mine:
        return None
    one = max(mine, key=lambda each: (each.verdict.impact, each.verdict.day))
    told = one.verdict
    return Spike(day=str(told.day), cost=told.cost, expected=told.expected, by=told.by, currency=one.currency)


def _now(cloud: Aws, brake: Brake) -> tuple[int | None, int]:
    """The limit, and how many instances run: of a function 0, as it ends none."""
    if brake.kind == FUNCTION:
        answer = cloud.call("GetFunctionConcurrency", FunctionName=brake.name)
        return answer.get("ReservedConcurrentExecutions"), 0
    group = _group(cloud, brake.name)
    return group["MaxSize"], len(group.get("Instances", []))


def _put(cloud: Aws, brake: Brake, value: int | None) -> None:
    if brake.kind == GROUP and value is not None:
        cloud.call("UpdateAutoScalingGroup", AutoScalingGroupName=brake.name, MaxSize=value)
    elif brake.kind == GROUP:
        raise LeverError(f"{brake.name}: a group has no unlimited size")
    elif value is None:
        cloud.call("DeleteFunctionConcurrency", FunctionName=brake.name)
    else:
        cloud.call("PutFunctionConcurrency", FunctionName=brake.name, ReservedConcurrentExecutions=value)


def _group(cloud: Aws, name: str) -> dict[str, Any]:
    groups = cloud.call("DescribeAutoScalingGroups", AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        raise LeverError(f"there is no Auto Scaling group {name}")
    found: dict[str, Any] = groups[0]
    return found
