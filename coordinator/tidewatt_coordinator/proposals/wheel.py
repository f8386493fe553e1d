"""The pipeline in the running coordinator: built from the configuration, turned every second, measured."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Context
from tidewatt_coordinator.levers.drivers import drivers
from tidewatt_coordinator.levers.measured import families
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.proposals.desk import Desk
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.sights import sights
from tidewatt_coordinator.proposals.state import LIVE
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.rollout.journal import Changed, Journal
from tidewatt_coordinator.rollout.lease import Lease, LeaseLost
from tidewatt_coordinator.sla.evidence import Evidence
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.ledgered import by_bucket, measuring

log = logging.getLogger(__name__)

#: Real seconds between two ticks: how soon a person's order is noticed.
TICK_S = 1.0
#: The same where no driver is enabled: what still lives has at least its approval to lose.
IDLE_S = 30.0
#: Whole days that a context's spending is of.
SPENT_DAYS = 30


class Wheel(Collector):
    """One coordinator's; `run` never ends. Where no driver is enabled a tick only looks for what lives."""

    def __init__(
        self, config: Config, ledger: Ledger, answers: Answers, lease: Lease, now_ms: Callable[[], int]
    ) -> None:
        fleet, levers = config.coordinator.fleet, config.levers
        self._answers, self._now_ms = answers, now_ms
        self.evidence = Evidence(levers.prometheus, levers.prometheus_token_file)
        measure = measuring(self.evidence, ledger.engine, ledger.bucket_ms)
        judge = Judge(by_bucket(config.sla, ledger.bucket_ms), measure, now_ms)
        self.store = Proposals(ledger.engine, fleet)
        self.drivers = drivers(
            levers,
            lambda: load_book(config.prices.folder),
            Journal(ledger.engine, fleet),
            fleet,
            now_ms,
            sights(ledger, config, answers, self.store, now_ms),
        )
        self.pipeline = Pipeline(self.drivers, self.store, levers, judge, lease, self._context, now_ms)
        self.desk = Desk(self.store, levers, judge, self.pipeline, now_ms)
        self.failing = False
        """Whether the last tick failed."""

    async def run(self) -> None:
        """Tick for ever; ends only by cancellation, when the tick in work has ended."""
        while True:
            await asyncio.sleep(TICK_S if self.drivers else IDLE_S)
            ticking = asyncio.ensure_future(asyncio.to_thread(self.tick))
            try:
                await asyncio.shield(ticking)
            except asyncio.CancelledError:
                await asyncio.wait([ticking])
                raise

    def tick(self) -> None:
        """One turn. What fails is logged once and tried again by the next."""
        try:
            self.pipeline.tick()
        except (Changed, LeaseLost) as error:
            log.info("levers: %s", error)
        except (SQLAlchemyError, OSError, msgspec.ValidationError) as error:
            if not self.failing:
                log.error("levers: %s; trying again", str(error).partition("\n")[0])  # noqa: TRY400
            self.failing = True
        else:
            if self.failing:
                log.warning("levers: recovered")
            self.failing = False

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        yield from families(self.drivers)
        shown = GaugeMetricFamily(
            "tidewatt_proposals", "Proposals that wait or are on their way", labels=["driver", "stage"]
        )
        saving = GaugeMetricFamily(
            "tidewatt_proposals_saving_per_month",
            "What the open proposals would save",
            labels=["driver", "currency"],
        )
        frozen = GaugeMetricFamily("tidewatt_levers_frozen", "1 while everything is frozen")
        failing = GaugeMetricFamily("tidewatt_driver_failing", "1 if its last look failed", labels=["driver"])
        try:
            found = [kept.proposal for kept in self.store.of(("open", *LIVE))]
            frozen.add_metric([], self.store.stop() is not None)
        except (SQLAlchemyError, msgspec.ValidationError):
            return  # a metric that can't be read is absent
        counts = Counter((one.recommendation.driver, one.stage) for one in found)
        for (driver, stage), count in sorted(counts.items()):
            shown.add_metric([driver, stage], count)
        sums: dict[tuple[str, str], Decimal] = {}
        for one in (one.recommendation for one in found if one.stage == "open"):
            key = one.driver, one.saving.currency
            sums[key] = sums.get(key, Decimal(0)) + one.saving.middle
        for (driver, currency), amount in sorted(sums.items()):
            saving.add_metric([driver, currency], float(amount))
        for name in sorted(self.pipeline.drivers):
            failing.add_metric([name], name in self.pipeline.failing)
        yield from (shown, saving, frozen, failing)

    def _context(self) -> Context:
        """The currency is that in which most is spent."""
        try:
            costs = self._answers.breakdown(self._answers.last(SPENT_DAYS), ["service"])
        except CostError:
            costs = []
        sums: dict[str, Decimal] = {}
        for cost in costs:
            sums[cost.currency] = sums.get(cost.currency, Decimal(0)) + cost.effective
        currency = max(sums, key=lambda one: sums[one], default="USD")
        spending = {cost.key[0]: cost.effective for cost in costs if cost.currency == currency}
        return Context(now_ms=self._now_ms(), currency=currency, spending=spending)
