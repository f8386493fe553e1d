"""One account of the fleet: measured totals, their cost, and what the baselines would have cost.

It is drawn up from sums that are kept, so it takes as long for a year as for a day.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import reduce

import msgspec

from tidewatt_coordinator.electricity.settled import energy_costs
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.asleep import Asleep
from tidewatt_coordinator.ledger.baselines import (
    ASSUMED,
    AWAKE,
    MEASURED,
    SLEPT,
    Baselines,
    Part,
    baselines_of,
)
from tidewatt_coordinator.ledger.compared import sums_by_name
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tariff import Tariff
from tidewatt_coordinator.money import FINEST
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet's account. `baselines` is None until a device with a model has reported."""

    totals: dict[str, int]
    """The fleet's sum of each counter."""
    currency: str
    price_per_kwh: Decimal
    costs: dict[str, Decimal]
    """What the devices' energy cost, by currency."""
    baselines: Baselines | None
    compared_mj: int = 0
    """The measured energy of the devices that the baselines stand for."""
    asleep: Asleep = Asleep()
    """Time and energy asleep, an estimate in no total."""
    slept: Part = Part(0, lives=0)
    """The same of the devices that the baselines stand for,"""
    awake: Part = Part(0, lives=0)
    """and what they would have drawn awake meanwhile, in their leanest mode without a request."""
    assumed: Part = Part(0, lives=0)
    """The part of `slept` that is assumed, of boards that nobody has measured asleep."""

    @property
    def sleep_saved_mj(self) -> int:
        """What sleep saved against staying awake; the rest of what is saved against a mode is the modes'."""
        return self.awake.energy_mj - self.slept.energy_mj

    def total(self, counter: str) -> int:
        """The fleet's sum of one counter."""
        return self.totals[counter]

    @property
    def cost(self) -> Decimal:
        """What the energy cost in the account's currency."""
        return self.costs[self.currency]

    def cost_of(self, energy_mj: int) -> Decimal:
        """What other energy would have cost, at the mean price of what was used."""
        used_mj = self.total("energy_mj")
        mean = self.cost / used_mj if used_mj else self.price_per_kwh / MILLIJOULES_PER_KILOWATT_HOUR
        return (energy_mj * mean).quantize(FINEST)


def account(ledger: Ledger, tariff: Tariff) -> Account:
    """Read the ledger's sums and draw up the account."""
    totals = dict(zip(COUNTERS, ledger.sums(), strict=True))
    costs = _costs(energy_costs(ledger), tariff, totals["energy_mj"])
    sums = sums_by_name(ledger)
    return Account(
        totals=totals,
        # The ledger's tariff's, but if every site has another.
        currency=tariff.currency if tariff.currency in costs else max(costs, key=lambda one: costs[one]),
        price_per_kwh=tariff.price_per_kwh,
        costs=costs,
        baselines=baselines_of(sums) if MEASURED in sums else None,
        compared_mj=sums[MEASURED].energy_mj if MEASURED in sums else 0,
        asleep=reduce(Asleep.plus, ledger.asleep().values(), Asleep()),
        slept=sums.get(SLEPT, Part(0, lives=0)),
        awake=sums.get(AWAKE, Part(0, lives=0)),
        assumed=sums.get(ASSUMED, Part(0, lives=0)),
    )


def _costs(kept: Mapping[str, tuple[int, Decimal]], tariff: Tariff, energy_mj: int) -> dict[str, Decimal]:
    """What the energy cost by currency: the closed hours' by the tariffs of their sites and times.

    That of the hours since isn't reckoned yet. It is taken at the mean price of the closed ones, by
    currency, and at the ledger's tariff as long as there are none.
    """
    closed_mj = sum(mj for mj, _ in kept.values())
    if not closed_mj:
        return {tariff.currency: tariff.cost(energy_mj)}
    return {
        currency: money + (money * (energy_mj - closed_mj) / closed_mj).quantize(FINEST)
        for currency, (_, money) in kept.items()
    }
