"""Other clouds: the same machines at list prices there. A comparison that nobody applies by a command."""

from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal

from tidewatt_coordinator.levers.driver import (
    Context,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.spend.settings import MultiCloud
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.prices.elsewhere import Comparison, compare, pays_back_months

CENT = Decimal("0.01")
PART = "provider"
TARGET = "machines"
SERVICE = "Amazon Elastic Compute Cloud - Compute"
#: Machines elsewhere do so much less or more work for a vCPU: generations differ.
MORE, FEWER = Decimal("1.2"), Decimal("0.9")


class MultiCloudDriver:
    """See levers/driver.py."""

    name = "multi_cloud"
    calls: tuple[str, ...] = ()

    def __init__(self, settings: MultiCloud, book: PriceBook) -> None:
        self._settings, self._book = settings, book

    def probe(self) -> Probe:
        """Needs to be told the machines."""
        told = any(self._settings.nodes.values())
        return Probe("ok") if told else Probe("no", "levers.multi_cloud.nodes names no machines")

    def observe(self) -> Sequence[Setting]:
        """The machines, as the configuration tells them."""
        return [self.read(TARGET)]

    def read(self, target: str) -> Setting:
        """They are at AWS."""
        return Setting(target=target, content={PART: "aws"})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """The cheapest other provider, if its list prices are below those here."""
        day = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        told = self._settings
        found = compare(
            self._book,
            told.nodes,
            told.region,
            on=day,
            egress_gb=Decimal(str(told.egress_gb)),
            stored_gb=Decimal(str(told.stored_gb)),
            any_architecture=told.other_architecture,
        )
        cheaper = found and found[0].there < found[0].here
        return [_told(one, found[0], found) for one in settings] if cheaper else []

    def send(self, order: Order) -> None:
        """Never."""
        raise LeverError(f"{order.target}: moving to another provider is nobody's command")


def _told(setting: Setting, best: Comparison, every: Sequence[Comparison]) -> Recommendation:
    compute = sum((one.there for one in best.nodes), Decimal(0))
    middle = best.here - best.there
    low, high = middle - compute * (MORE - 1), middle + compute * (1 - FEWER)
    machines = {one.machine: one.machines for one in best.nodes}
    months = pays_back_months(best)
    return Recommendation(
        driver=MultiCloudDriver.name,
        target=setting.target,
        service=SERVICE,
        what=f"the same machines cost {best.there:,.2f} {best.currency} a month at {best.provider}"
        f" {best.region}, {best.here:,.2f} here, on demand",
        before=setting.content,
        after={PART: best.provider},
        saving=Saving(
            low=low.quantize(CENT),
            middle=middle.quantize(CENT),
            high=high.quantize(CENT),
            currency=best.currency,
        ),
        spending=best.here.quantize(CENT),
        disruption=1.0,
        risk="high",
        evidence=[
            *(_sentence(one) for one in every),
            (
                f"there {', '.join(f'{count} {name}' for name, count in machines.items())}; a vCPU"
                f" there is taken to do the work of {1 / MORE:.0%} to {1 / FEWER:.0%} of one here"
            ),
            f"getting the stored data out costs {best.moving:,.2f} {best.currency} once"
            + (f", paid back in {months} months" if months else ""),
            "people's work, and discounts that any provider gives, are not counted",
        ],
        effects=None,
        irreversible=True,
    )


def _sentence(one: Comparison) -> str:
    return (
        f"{one.provider} {one.region} ({one.table}): {one.there:,.2f} {one.currency} a month, of it"
        f" {one.egress_there:,.2f} transfer out; here {one.here:,.2f}, of it {one.egress_here:,.2f}"
    )
