"""The report's second half: the edge, savings, carbon, budgets, anomalies. Pure."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.carbon.intensity import Emission
from tidewatt_coordinator.costs.attribution import rounded
from tidewatt_coordinator.costs.charge import total
from tidewatt_coordinator.ledger.baselines import ASSUMED_WATTS
from tidewatt_coordinator.ledger.saved import Saved as EnergySaved
from tidewatt_coordinator.questions.rows import NONE, kilowatt_hours
from tidewatt_coordinator.questions.saving import MONTH_DAYS
from tidewatt_coordinator.questions.savings import Saved
from tidewatt_coordinator.questions.unitcost import UnitCost
from tidewatt_coordinator.questions.waste import Waste
from tidewatt_coordinator.reports.document import MOST_ROWS, Section, Table, money, percent
from tidewatt_coordinator.reports.facts import Facts, SiteCarbon

MILLION = 1_000_000
MILLISECONDS_PER_HOUR = 3_600_000
GRAMS_PER_KG = 1000
KINDS = {
    "unused": "devices that served nothing",
    "idle": "energy of hours without a request",
    "inefficient": "energy above what is usual for such a device",
    "cluster_idle": "an idle cluster (an estimate)",
}


def edge(facts: Facts) -> Section | None:
    """Requests with their energy and cost; None where none are counted."""
    served = [one for one in facts.requests.rows if one.requests]
    if not served:
        return None
    tables = []
    for currency in dict.fromkeys(one.currency for one in served):
        mine = [one for one in served if one.currency == currency]
        amounts = rounded([one.effective or Decimal(0) for one in mine])
        energy = rounded([kilowatt_hours(one.energy_mj or 0) for one in mine])
        uses = [
            _Use(_site(one), one.requests or 0, one.energy_mj or 0, kwh, amount if currency else None)
            for one, kwh, amount in zip(mine, energy, amounts, strict=True)
        ]
        rows = [_row(use) for use in uses[:MOST_ROWS]]
        if len(uses) > MOST_ROWS:
            rows.append(_row(_sum(f"{len(uses) - MOST_ROWS} more", uses[MOST_ROWS:])))
        tables.append(
            Table(
                caption=f"Sites, {currency or 'no cost known'}, amortised",
                columns=["site", "requests", "kWh", "J/request", "cost", "per million"],
                rows=rows,
                total=_row(_sum("total", uses)),
            )
        )
    text = "Requests are counted at the edge. Its electricity, hardware and fees are services of their own."
    return Section(title="The edge", text=[text, *energy_saved(facts.energy_saved)], tables=tables)


def energy_saved(saved: EnergySaved | None) -> list[str]:
    """Modes and sleep apart: a fleet that only sleeps has tuned nothing."""
    if saved is None:
        return []
    modes, sleep = (kilowatt_hours(mj) for mj in (saved.by_modes_mj, saved.by_sleep_mj))
    said = f"Against the vendor's default mode all the time, power modes saved {modes:,.3f} kWh"
    if saved.asleep_ms:
        hours, drawn = saved.asleep_ms / MILLISECONDS_PER_HOUR, kilowatt_hours(saved.asleep_mj)
        said += f" and sleep {sleep:,.3f} kWh ({hours:,.1f} h asleep, {drawn:,.3f} kWh drawn)"
    said += "; estimates, from the operating points' models and the measured sleep watts."
    if saved.assumed_ms:
        hours = saved.assumed_ms / MILLISECONDS_PER_HOUR
        said += f" Of {hours:,.1f} h asleep nobody has measured the watts: {ASSUMED_WATTS} W are assumed."
    return [said]


def savings(facts: Facts) -> Section:
    """What changes saved against what they were to save, and what was paid for nothing."""
    tables = [table for table in (_saved_table(facts.saved), *_waste_tables(facts)) if table]
    text = []
    if facts.saved:
        text.append(
            "Realised: against what would have been paid without the change, over the 28 days after it at "
            "most, as money per month. Missed: what was promised and did not come."
        )
    else:
        text.append("No change that was to save money came into force until the month's end.")
    if not facts.waste:
        text.append("Nothing was paid for and not needed, as far as the ledger shows.")
    notes = [f"{one.what}: {one.sentence}" for one in facts.saved[:MOST_ROWS]]
    notes += [f"{one.sentence}." for one in facts.waste[:MOST_ROWS]]
    return Section(title="Savings realised and missed", text=text, tables=tables, notes=notes)


def carbon(facts: Facts) -> Section | None:
    """Average and marginal side by side, each with a total of its own; None without energy."""
    if not facts.carbon:
        return None
    mean = rounded([_kilograms(one.average, one) or Decimal(0) for one in facts.carbon], 3)
    more = rounded([_kilograms(one.marginal, one) or Decimal(0) for one in facts.carbon], 3)
    energy = rounded([kilowatt_hours(one.energy_mj) for one in facts.carbon], 3)
    rows = [
        [one.site or "(no site)", one.zone or "-", f"{kwh:,.3f}",
         _grams(one.average, one, average), _grams(one.marginal, one, marginal)]
        for one, kwh, average, marginal in zip(facts.carbon, energy, mean, more, strict=True)
    ]  # fmt: skip
    sums = [
        _all_of(some, [_kilograms(kind(one), one) for one in facts.carbon])
        for some, kind in ((mean, _average), (more, _marginal))
    ]
    table = Table(
        caption="By site, kg of CO2 equivalent",
        columns=["site", "zone", "kWh", "average", "marginal"],
        words=2,
        rows=rows,
        total=["total", "", f"{total(energy):,.3f}", *sums],
    )
    text = (
        "The average of all plants is what a report states; the marginal, of the plants that answer one more "
        "kWh, is what shifting load changes. They answer different questions and are never added."
    )
    return Section(
        title="Carbon of the edge's electricity", text=[text], tables=[table], notes=_gaps(facts.carbon)
    )


class _Use(msgspec.Struct, frozen=True):
    """A line of the table of sites."""

    name: str
    requests: int
    energy_mj: int
    kwh: Decimal
    """As it is shown."""
    amount: Decimal | None
    """As it is shown; None: not known."""


def _sum(name: str, uses: Sequence[_Use]) -> _Use:
    amounts = [use.amount for use in uses if use.amount is not None]
    return _Use(
        name,
        sum(use.requests for use in uses),
        sum(use.energy_mj for use in uses),
        total(use.kwh for use in uses),
        total(amounts) if amounts else None,
    )


def _row(use: _Use) -> list[str]:
    joules = f"{Decimal(use.energy_mj) / 1000 / use.requests:,.3g}"
    each = "-" if use.amount is None else money(use.amount / use.requests * MILLION)
    return [use.name, f"{use.requests:,}", f"{use.kwh:,.2f}", joules, money(use.amount), each]


def _site(one: UnitCost) -> str:
    return "(no site)" if one.key[0] == NONE else one.key[0]


def _saved_table(saved: Sequence[Saved]) -> Table | None:
    if not saved:
        return None
    rows = []
    for one in saved[:MOST_ROWS]:
        found, promised = one.realised, one.predicted_per_month
        per_month = found.per_month if found else None
        missed = promised - per_month if promised is not None and per_month is not None else None
        between = "-"
        if found:
            scale = MONTH_DAYS / found.days
            between = f"{money(found.low * scale)} to {money(found.high * scale)}"
        rows.append(
            [one.what, str(one.day), money(promised), money(per_month), between,
             "-" if missed is None else money(max(missed, Decimal(0))), one.currency]
        )  # fmt: skip
    return Table(
        caption="Changes, money per month",
        columns=["change", "since", "predicted", "realised", "80 of 100", "missed", "in"],
        words=2,
        rows=rows,
    )


def _waste_tables(facts: Facts) -> list[Table]:
    tables = []
    for currency in dict.fromkeys(one.currency for one in facts.waste):
        by_kind: dict[str, list[Waste]] = {}
        for one in facts.waste:
            if one.currency == currency:
                by_kind.setdefault(one.kind, []).append(one)
        amounts = rounded([total(one.amount for one in some) for some in by_kind.values()])
        counts = [str(len(some)) for some in by_kind.values()]
        whole = facts.effective(currency)
        tables.append(
            Table(
                caption=f"Missed: paid for and not needed, {currency}",
                columns=["what", "cases", "amount", "of all costs"],
                rows=[
                    [KINDS[kind], count, money(amount), percent(amount, whole)]
                    for kind, count, amount in zip(by_kind, counts, amounts, strict=True)
                ],
                total=[
                    "total",
                    str(sum(map(int, counts))),
                    money(total(amounts)),
                    percent(total(amounts), whole),
                ],
            )
        )
    return tables


def _average(one: SiteCarbon) -> Emission | None:
    return one.average


def _marginal(one: SiteCarbon) -> Emission | None:
    return one.marginal


def _kilograms(emission: Emission | None, one: SiteCarbon) -> Decimal | None:
    """None where no energy at all has an intensity."""
    if emission is None or emission.unknown_mj >= one.energy_mj:
        return None
    return emission.grams / GRAMS_PER_KG


def _all_of(shown: Sequence[Decimal], sites: Sequence[Decimal | None]) -> str:
    """A total says when it is not the whole."""
    if all(one is None for one in sites):
        return "unknown"
    whole = f"{total(shown):,.3f}"
    return whole if None not in sites else f"{whole} and what is unknown"


def _grams(emission: Emission | None, one: SiteCarbon, shown: Decimal) -> str:
    return "unknown" if _kilograms(emission, one) is None else f"{shown:,.3f}"


def _gaps(sites: Sequence[SiteCarbon]) -> list[str]:
    found = []
    kinds: tuple[Callable[[SiteCarbon], Emission | None], ...] = (_average, _marginal)
    for one in sites:
        name = one.site or "(no site)"
        if not one.zone:
            found.append(f"{name}: it has no carbon_zone.")
        for emission in (kind(one) for kind in kinds):
            if emission is None or not one.energy_mj:
                continue
            if emission.static_mj:
                share = percent(Decimal(emission.static_mj), Decimal(one.energy_mj))
                found.append(f"{name}: {share} of the energy by the year's average of {one.zone}.")
            if 0 < emission.unknown_mj < one.energy_mj or (
                emission.unknown_mj and emission.kind == "average"
            ):
                share = percent(Decimal(emission.unknown_mj), Decimal(one.energy_mj))
                found.append(
                    f"{name}: the {emission.kind} of {share} of the energy is unknown, and not in it."
                )
    return found
