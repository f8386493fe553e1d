"""A game day of spot interruptions, second by second, in simulated capacity. Pure: same seed, same day.

Nodes of a spot pool are taken away by waves; each wave is announced by the provider's warning. What decides
is the order of a node's end: its weight goes to nothing, the load balancer notices, requests in work end,
the process is told to stop, the node is gone. Replacements come up as spot or, in a drought, on demand.
"""

import heapq
import math
from collections.abc import Sequence
from random import Random
from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
HOUR_S = 3600
#: A share that is no request.
TINY = 1e-9


class Game(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is played. Seconds, requests a second, money an hour."""

    spot_nodes: Count = 7
    on_demand_nodes: Count = 3
    node_rps: Positive = 100.0
    """What a node serves;"""
    traffic_rps: Positive = 700.0
    """what is asked."""
    work_s: Positive = 0.2
    """A request's, in the mean."""
    waves: Sequence[tuple[int, int]] = ((300, 2), (1500, 4))
    """At which second how many spot nodes are interrupted."""
    warning_s: Count = 120
    """Until an interrupted node is gone; less than none is heard of a warning that is missed."""
    missed: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Share of the warnings that nobody hears."""
    react_s: Count = 5
    """From the warning to weight nothing."""
    notice_s: Count = 17
    """Load balancers go on sending to a node that drains; after so long they don't."""
    prestop_s: Count = 20
    """The process sleeps so long before it stops taking requests;"""
    grace_s: Count = 60
    """and is killed after so long."""
    start_s: Count = 90
    """A replacement's, to its first request."""
    drought_s: Count = 1800
    """After a wave no spot capacity is to be had; replacements are on demand."""
    spot_price: Positive = 0.087
    on_demand_price: Positive = 0.29
    hours: Positive = 1.0
    seed: int = 1


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """One node's end, in seconds of the game."""

    warned_s: int
    heard: bool
    silent_s: int
    """When the load balancer sends nothing more."""
    ended_s: int
    """When the node took no more requests, or was gone."""
    gone_s: int
    failed: float
    """Requests that it was sent and didn't serve."""

    @property
    def took_s(self) -> int:
        """From the warning to the last request."""
        return min(self.silent_s, self.gone_s) - self.warned_s


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the day came to."""

    asked: float
    failed_draining: float
    """Sent to nodes that had stopped, or cut off in work."""
    failed_full: float
    """More than what was left could serve."""
    worst_second: float
    """The greatest share that failed within one second."""
    drains: list[Drain]
    bad_seconds: int
    """With any failure."""
    cost: float
    cost_calm: float
    """Of the same time without interruptions."""
    cost_on_demand: float
    """Had all nodes been on demand."""

    @property
    def error_rate(self) -> float:
        """Share of all requests that failed."""
        return (self.failed_draining + self.failed_full) / self.asked if self.asked else 0.0

    @property
    def slowest_drain_s(self) -> int:
        """The longest from warning to silence."""
        return max((one.took_s for one in self.drains), default=0)


def wrong_order(game: Game) -> list[str]:
    """What in a node's end is in the wrong order, one sentence each."""
    told = []
    if game.notice_s + game.react_s >= game.prestop_s:
        told.append(
            f"the process stops after {game.prestop_s} s, the load balancer sends for"
            f" {game.react_s + game.notice_s} s: requests meet a closed door; let preStop sleep longer"
        )
    if game.prestop_s >= game.grace_s:
        told.append(f"killed after {game.grace_s} s, before its preStop of {game.prestop_s} s has ended")
    if game.grace_s > game.warning_s:
        told.append(f"the node is gone {game.warning_s} s after the warning, within the grace period")
    if game.start_s > game.warning_s:
        told.append(f"a replacement takes {game.start_s} s, the warning is {game.warning_s} s ahead")
    return told


def play(game: Game) -> Outcome:
    """The whole day."""
    chance = Random(game.seed)  # noqa: S311 - a game
    seconds = round(game.hours * HOUR_S)
    waves = sorted((at, count) for at, count in game.waves if 0 <= at < seconds)
    spot, on_demand, bought = game.spot_nodes, game.on_demand_nodes, 0
    ending: list[_Ending] = []
    coming: list[tuple[int, str]] = []
    drains: list[Drain] = []
    drought_until, cost = 0, 0.0
    full = draining = worst = 0.0
    bad = 0
    for now in range(seconds):
        while waves and waves[0][0] <= now:
            _, count = waves.pop(0)
            count, spot = min(count, spot), spot - min(count, spot)
            drought_until = now + game.drought_s
            for _ in range(count):
                one = _end(game, now, heard=chance.random() >= game.missed)
                ending.append(one)
                ordered = now if one.heard else one.gone_s
                heapq.heappush(coming, (ordered + game.start_s, "on demand"))
        while coming and coming[0][0] <= now:
            heapq.heappop(coming)
            on_demand, bought = on_demand + 1, bought + 1
        # When spot is to be had again, what was bought instead is given back for it.
        if bought and now >= drought_until:
            spot, on_demand, bought = spot + bought, on_demand - bought, 0
        lost, served = _second(game, now, spot + on_demand, ending)
        draining, full = draining + lost, full + max(0.0, game.traffic_rps - lost - served)
        failed = max(lost, game.traffic_rps - served) / game.traffic_rps
        worst, bad = max(worst, failed), bad + (failed > TINY)
        drains += [one.told() for one in ending if one.gone_s <= now]
        ending = [one for one in ending if one.gone_s > now]
        paid = spot + len(ending)
        cost += (paid * game.spot_price + on_demand * game.on_demand_price) / HOUR_S
    drains += [one.told() for one in ending]
    calm = game.spot_nodes * game.spot_price + game.on_demand_nodes * game.on_demand_price
    return Outcome(
        asked=game.traffic_rps * seconds,
        failed_draining=draining,
        failed_full=full,
        worst_second=worst,
        drains=drains,
        bad_seconds=bad,
        cost=cost,
        cost_calm=calm * seconds / HOUR_S,
        cost_on_demand=(game.spot_nodes + game.on_demand_nodes) * game.on_demand_price * seconds / HOUR_S,
    )


class _Ending:
    """A node that was interrupted."""

    def __init__(self, warned_s: int, silent_s: int, closed_s: int, gone_s: int, *, heard: bool) -> None:
        self.warned_s, self.silent_s, self.closed_s, self.gone_s = warned_s, silent_s, closed_s, gone_s
        self.heard, self.failed = heard, 0.0

    def told(self) -> Drain:
        return Drain(
            warned_s=self.warned_s,
            heard=self.heard,
            silent_s=self.silent_s,
            ended_s=min(self.closed_s, self.gone_s),
            gone_s=self.gone_s,
            failed=self.failed,
        )


def _end(game: Game, now: int, *, heard: bool) -> _Ending:
    if heard:
        told = now + game.react_s
        closed = told + min(game.prestop_s, game.grace_s)
        gone = now + game.warning_s
        return _Ending(now, told + game.notice_s, closed, gone, heard=True)
    gone = now + game.warning_s
    # Its health checks fail first when it is gone already.
    return _Ending(now, gone + game.notice_s, gone, gone + game.notice_s, heard=False)


def _second(game: Game, now: int, whole: int, ending: Sequence[_Ending]) -> tuple[float, float]:
    """Requests lost at ending nodes within a second, and those served: all that are sent any get the same."""
    sent = [one for one in ending if now < one.silent_s]
    nodes = whole + len(sent)
    if not nodes:
        return 0.0, 0.0
    each = game.traffic_rps / nodes
    lost = 0.0
    for one in sent:
        if now >= one.closed_s:
            one.failed += each
            lost += each
        elif now == one.closed_s - 1:
            # Of what is in work, the part that isn't done when the rest of the grace has passed is cut off.
            left = max(0.0, game.grace_s - game.prestop_s) if one.heard else 0.0
            cut = min(each, game.node_rps) * game.work_s * math.exp(-left / game.work_s)
            one.failed += cut
            lost += cut
    open_nodes = whole + sum(now < one.closed_s for one in sent)
    return lost, min(game.traffic_rps - lost, open_nodes * min(each, game.node_rps))
