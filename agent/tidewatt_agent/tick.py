"""One tick: read, decide, act, count. It never sleeps and can be called from a test."""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from tidewatt_agent.bars import Bars
from tidewatt_agent.capping import Capping
from tidewatt_agent.counters import Tally, add_nap, add_power, add_silence, add_tick, estimate_mj, violates
from tidewatt_agent.drift import Drift
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.hands import Hands, Outcome, Stance
from tidewatt_agent.journal import TickRecord, finite
from tidewatt_agent.learning import Learning
from tidewatt_agent.leases import Leases
from tidewatt_agent.maintenance import Maintenance
from tidewatt_agent.overcurrent import Window, watch
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.policies import Policies
from tidewatt_agent.power import PowerRule
from tidewatt_agent.readers import TimedSample
from tidewatt_agent.signals import Signals
from tidewatt_agent.situation import Seen, hottest, situation
from tidewatt_agent.sysfs.battery import Battery
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.decide import Decision, GovernorState, decide, moved
from tidewatt_governor.maintenance import only_by_reboot
from tidewatt_governor.points import find
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Counters, Gauges, Policy, Report, Verdict

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where samples come from."""

    def take(self) -> list[TimedSample]:
        """The samples since the last take, oldest first."""


class LoadReader(Protocol):
    """Where the load comes from."""

    def ask(self) -> None:
        """Say that it is about to be read: the answer may come while something else is waited for."""

    async def read(self, now_s: float) -> Load | None:
        """The load since the last good read, None when it isn't known."""


class Identity(msgspec.Struct, frozen=True):
    """Who reports: the device, this run of the agent, and this life of its counters."""

    device: str
    session: str
    epoch: str


class Tick:
    """The governed board: readers in, hands out, counters kept between ticks."""

    def __init__(
        self,
        identity: Identity,
        profile: BoardProfile | None,
        clock: Clock,
        reader: Source,
        load: LoadReader | None,
        hands: Hands,
        policies: Policies,
        gap_s: float,
        counters: Counters = Counters(),  # noqa: B008 - frozen
        journal: Callable[[TickRecord], None] = lambda _record: None,
        power: PowerRule | None = None,
        leases: Leases | None = None,
        told: Callable[[int], bool] = lambda _at_ms: True,
        battery: Battery | None = None,
        foresight: Foresight | None = None,
        learning: Learning | None = None,
        signals: Signals | None = None,
        plans: PlanHints | None = None,
    ) -> None:
        """`profile`: None on a board whose operating points aren't known: it is measured, not governed.

        `told(at_ms)`: whether a report not older than that has reached the broker, if there is one.
        """
        self._identity, self._profile, self._clock = identity, profile, clock
        self._reader, self._load, self._hands = reader, load, hands
        self._policies, self._gap_s, self._journal = policies, gap_s, journal
        self._power = power or PowerRule()
        self._leases = leases or Leases([], clock)
        self._learning = learning or Learning(profile)
        self._journalled = list(profile.points) if profile else []
        self._state = GovernorState(point=profile.vendor_default if profile else "", since_s=0.0)
        self._tally = Tally(counters=counters)
        self.seen = Seen()
        self._over_current: Window | None = None
        self._first_s = self._seen_s = 0.0
        self._looked = False
        self._bars = Bars()
        self._capping = Capping()
        self._drift = Drift()
        self._maintenance = Maintenance(told)
        self._battery = battery
        self._foresight = foresight or Foresight("", "UTC", "")
        self._plans = plans
        self._signals = signals or Signals("", lambda: None)
        self._began = True
        self._last_s: float | None = None
        self._seq = 0

    @property
    def counters(self) -> Counters:
        """What has been counted so far."""
        return self._tally.counters

    def slept(self, asleep_s: float, watts: float | None) -> None:
        """Count a nap that is just over: see add_nap. Its time is nobody else's."""
        now_s = self._clock.monotonic_s()
        self._tally = add_nap(self._tally, asleep_s, watts, now_s)
        self._last_s, self._seen_s = now_s, now_s

    async def __call__(self, *, govern: bool = True) -> Report:
        """Do one tick and return the report that stands for it; without `govern` it only counts."""
        now_s, at_ms = self._clock.monotonic_s(), self._clock.now_ms()
        policy, revision = self._policies.at(at_ms), self._policies.revision
        if self._last_s is None:  # the dwell counts from the first look, not from eternity
            self._state = msgspec.structs.replace(self._state, since_s=now_s)
            self._first_s = self._seen_s = now_s
        if self._load:
            self._load.ask()
        self._measure(now_s)
        stance = self._capping.seen(await self._hands.look())
        load = await self._load.read(now_s) if self._load else None
        decision = outcome = None
        capped = self._capping.holding
        if self._profile and govern:
            decision, outcome = await self._govern(self._profile, now_s, at_ms, stance, load, policy)
        if govern:
            self._policies.decided(revision, at_ms, needs_reboot=self._reboots_for(policy, now_s) is not None)
        self._count(stance.point, now_s, load, policy, outcome)
        self._learning.note(self._tally.counters, capped=capped or self._capping.holding)
        return self._report(at_ms, load, decision, outcome, stance.point)

    async def _govern(
        self,
        profile: BoardProfile,
        now_s: float,
        at_ms: int,
        stance: Stance,
        load: Load | None,
        policy: Policy,
    ) -> tuple[Decision, Outcome]:
        was, points = self._stand(stance, policy, now_s), self._learning.points
        barred = self._bars.barred(now_s) + self._capping.barred(now_s)
        self._leases.policy = policy
        leases = self._leases.active()
        world = await self._world(stance, policy, at_ms, now_s)
        forecast = self._foresight.note(load, now_s, at_ms)
        hint = self._plans.at(at_ms, now_s) if self._plans else None
        self._state, decision = decide(
            self._state,
            load,
            policy,
            points,
            profile.vendor_default,
            now_s,
            leases,
            barred,
            world,
            forecast,
            hint,
        )
        decision, outcome, trimmed = await self._obey(profile, policy, decision, stance, at_ms, now_s)
        self._journal(
            TickRecord(
                at_ms=at_ms,
                now_s=now_s,
                stands=was,
                load=finite(load),
                policy=policy,
                decision=decision,
                outcome=outcome,
                trimmed=trimmed,
                leases=leases,
                barred=barred,
                situation=world,
                forecast=forecast,
                hint=hint,
                began=self._began,
                became=self._state.point,
                learned=points if points != self._journalled else [],
            )
        )
        self._began = False
        self._journalled = points
        return decision, outcome

    def _stand(self, stance: Stance, policy: Policy, now_s: float) -> str:
        """Where the board is taken to stand, from here on."""
        if self._hands.acts:
            self._drift.notice(stance, policy, now_s)
        if (self._hands.acts and not self._drift.reasserting) or not self._looked:
            # A board whose mode can't be read is taken to stand where it was last known to. One that is
            # only observed is followed once: from then on the state is what the governor would have made.
            self._state = moved(self._state, stance.point or self._state.point, now_s)
            self._looked = self._looked or stance.point is not None
        return self._state.point

    async def _obey(
        self,
        profile: BoardProfile,
        policy: Policy,
        decision: Decision,
        stance: Stance,
        at_ms: int,
        now_s: float,
    ) -> tuple[Decision, Outcome, Outcome | None]:
        """Do what was decided, or what has to be done instead, and say which, and what became of the caps."""
        if self._maintenance.under_way(now_s):
            return decision, Outcome("rebooting", stance.point, "the board is about to reboot"), None
        was = self._state.point
        outcome = await self._act(decision, was, stance, now_s)
        self._bars.note(decision.point, outcome, now_s)
        if not self._drift.reasserting:
            reached = outcome.point if self._hands.acts else decision.point
            self._state = moved(self._state, reached or was, now_s)
        trimmed = await self._cap(profile, decision, outcome, stance, now_s)
        decision, outcome = await self._maintain(policy, at_ms, now_s) or (decision, outcome)
        return decision, outcome, trimmed

    async def _cap(
        self, profile: BoardProfile, decision: Decision, outcome: Outcome, stance: Stance, now_s: float
    ) -> Outcome | None:
        """Put the mode, once it stands, under the caps that were decided; else take them away."""
        if not self._hands.acts:
            return None
        if outcome.kind == "applied":
            self._capping.gone()
            return None
        stands = outcome.kind == "unchanged" and stance.point == decision.point
        point = find(profile.points, decision.point)
        return await self._capping.follow(
            self._hands, point, decision.trim if stands else None, stance, now_s
        )

    async def _world(self, stance: Stance, policy: Policy, at_ms: int, now_s: float) -> Situation:
        # A gas gauge is slow: it is asked only for a policy that wants to know.
        charge = await self._battery.charge(now_s) if self._battery and policy.battery_floor else None
        as_supposed = stance.point in (None, self._state.point)
        trim = self._capping.trim
        energy = self._signals.at(at_ms)
        return situation(self.seen, policy, at_ms, charge, as_supposed=as_supposed, trim=trim, energy=energy)

    async def _maintain(self, policy: Policy, at_ms: int, now_s: float) -> tuple[Decision, Outcome] | None:
        """What a planned reboot has to say instead of the decision; None on most days."""
        if not self._hands.acts:
            return None
        if after := await self._maintenance.after_boot(self._hands, at_ms):
            return after
        leases, target = self._leases.active(), self._reboots_for(policy, now_s)
        return await self._maintenance.step(self._hands, target, policy, at_ms, now_s, leases)

    def _reboots_for(self, policy: Policy, now_s: float) -> str | None:
        """The point that the policy can have by a reboot only; None if it can have one without."""
        if self._profile is None or not self._hands.acts:
            return None
        return only_by_reboot(self._profile.points, policy, self._bars.need_reboot(now_s))

    def _measure(self, now_s: float) -> None:
        timed = self._reader.take()
        for one in timed:
            power = self._power(one.reader, one.sample.rails)
            self._over_current, news = watch(self._over_current, one.sample.over_current, one.at_s)
            self.seen = Seen(sample=one.sample, power=power, over_current=self._over_current.rates)
            for sentence in news:
                log.warning("%s", sentence)
            self._tally = add_power(self._tally, power.watts, one.at_s, self._gap_s)
        if timed:
            self._seen_s = timed[-1].at_s
        elif now_s - self._seen_s > self._gap_s:
            # Silence: what was true then is not what is true now.
            self.seen = Seen()
        self._tally = add_silence(self._tally, self._first_s, now_s, self._gap_s)

    async def _act(self, decision: Decision, was: str, stance: Stance, now_s: float) -> Outcome:
        if self._hands.acts and not self._drift.may_act(now_s):
            why = f"left alone, as somebody else set it: would go to {decision.point}"
            return Outcome("drifted", stance.point, why)
        # Where it can be seen that it stands in no mode, or in somebody else's, being there is not enough.
        here = stance.point if self._hands.acts and stance.seen else was
        if decision.point == here and not self._drift.reasserting:
            if stance.seen:
                self._drift.consents(decision.point)
            return Outcome("unchanged", stance.point)
        outcome = await self._hands.go_to(decision.point)
        self._drift.acted(outcome.point if outcome.kind in ("applied", "unchanged") else None, now_s)
        return outcome

    def _count(
        self, stands: str | None, now_s: float, load: Load | None, policy: Policy, outcome: Outcome | None
    ) -> None:
        elapsed_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        points = self._learning.points
        point = find(points, stands) if stands else None
        governed = point if self._hands.acts else find(points, self._state.point)
        self._tally = add_tick(
            self._tally,
            point=stands,
            elapsed_ms=round(elapsed_s * 1000),
            load=load,
            violating=violates(load, point, policy),
            switched=outcome is not None and outcome.kind == "applied",
            modelled_mj=estimate_mj(point, load, elapsed_s) if governed else 0,
            governed_mj=estimate_mj(governed, load, elapsed_s) if point else 0,
        )

    def _report(
        self,
        at_ms: int,
        load: Load | None,
        decision: Decision | None,
        outcome: Outcome | None,
        stands: str | None,
    ) -> Report:
        self._seq += 1
        p95_ms = load.p95_ms if load else None
        sample = self.seen.sample
        return Report(
            device=self._identity.device,
            session=self._identity.session,
            epoch=self._identity.epoch,
            seq=self._seq,
            at_ms=at_ms,
            counters=self._tally.counters,
            gauges=Gauges(
                point=outcome.point if outcome else stands,
                watts=self.seen.power.watts,
                requests_rps=load.rps if load else None,
                p95_ms=None if p95_ms == float("inf") else p95_ms,
                temperature_c=hottest(sample) if sample else None,
                leases=[f"{lease.point} or more: {lease.reason}" for lease in self._leases.active()],
                forecast_skill=self._foresight.skill,
                forecast_model=self._foresight.model_id,
            ),
            verdict=Verdict(
                point=decision.point, rule=decision.rule, reason=decision.reason, outcome=outcome.kind
            )
            if decision and outcome
            else None,
        )
