"""Advice: what would be cheaper, where no setting does it or none can be taken back.

It goes through the same pipeline as every other proposal, judged and shown, and is never applied: it is
withdrawn when the facts no longer say so. Its part of the setting is always null, the advice not taken.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.levers.aws.client import installed
from tidewatt_coordinator.levers.data.settings import AdviceLever
from tidewatt_coordinator.levers.driver import (
    Context,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Risk,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.months import day_of
from tidewatt_coordinator.prices.book import Found, PriceBook
from tidewatt_coordinator.questions.changes import Selector

ADVICE = "advice"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of advice."""

    what: str
    """A sentence without measured numbers: the same advice tomorrow is the same proposal."""
    saving: Saving
    evidence: list[str]
    spending: Decimal | None = None
    risk: Risk = "medium"


def advised(driver: str, target: str, service: str, told: Told) -> Recommendation:
    """As a recommendation; whether requests would notice, nobody knows."""
    return Recommendation(
        driver=driver,
        target=target,
        service=service,
        what=told.what,
        before={ADVICE: None},
        after={ADVICE: told.what},
        saving=told.saving,
        spending=told.spending,
        disruption=0.0,
        risk=told.risk,
        evidence=told.evidence,
        effects=None,
        irreversible=True,
        selector=Selector(services=[service]),
    )


class Advice(ABC):
    """A driver without a lever. See levers/driver.py."""

    name: str
    service: str
    """The bill's name of it."""

    def __init__(self, settings: AdviceLever, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self.settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every target with its facts."""
        return sorted(self.look(self._now_ms()), key=lambda one: one.target)

    def read(self, target: str) -> Setting:
        """The advice isn't taken: only the next look can tell."""
        return Setting(target=target, content={ADVICE: None})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """All advice that is worth a look."""
        day, least = day_of(context.now_ms), Decimal(repr(self.settings.least_usd))
        return [
            advised(self.name, one.target, self.service, told)
            for one in settings
            for told in self.advise(one, day)
            if told.saving.middle > 0 and told.saving.middle >= least
        ]

    def send(self, order: Order) -> None:
        """Never."""
        raise LeverError(f"{order.target}: {self.name} only advises; nothing was changed")

    @abstractmethod
    def look(self, now_ms: int) -> Iterator[Setting]:
        """The targets."""

    @abstractmethod
    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """What to say of one target. Pure."""

    def price(self, table: str, item: str, day: date, region: str = "") -> Found:
        """From the price book, in the driver's region unless another is named."""
        return self._book.find(table, item, region or self.settings.region, on=day)

    def setting(self, target: str, **facts: object) -> Setting:
        """A target with its facts."""
        return Setting(target=target, content={ADVICE: None}, facts=facts)
