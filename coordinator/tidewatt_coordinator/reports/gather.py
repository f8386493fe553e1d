"""A month's facts, read from one ledger."""

from collections.abc import Iterable
from datetime import date, timedelta

from sqlalchemy import func, select

from tidewatt_coordinator.alerts.watch import recent_costs, watched_tags
from tidewatt_coordinator.anomalies.groups import Found, anomalies, groups, settling_of, terms_of
from tidewatt_coordinator.budgets.looking import of_cloud
from tidewatt_coordinator.budgets.outlook import FORECAST
from tidewatt_coordinator.budgets.standing import Standing, standing
from tidewatt_coordinator.carbon.intensity import emitted
from tidewatt_coordinator.carbon.static import static_factors
from tidewatt_coordinator.carbon.store import kept
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import DAY_MS, Window, day_ms, day_of
from tidewatt_coordinator.costs.series import Settling
from tidewatt_coordinator.electricity.files import load_sites
from tidewatt_coordinator.ledger.compared import sums_by_name
from tidewatt_coordinator.ledger.saved import saved
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import day_use, hour_use
from tidewatt_coordinator.questions import reading
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.rows import Cost
from tidewatt_coordinator.questions.savings import Saved
from tidewatt_coordinator.questions.why import reasons, whole
from tidewatt_coordinator.reports.facts import Breakdown, Facts, SiteCarbon
from tidewatt_coordinator.reports.proposed import open_recommendations
from tidewatt_coordinator.reports.recommended import OpenRecommendation, Reader

#: Months that the trend shows, this one among them.
TREND_MONTHS = 12
#: A month that is over is looked at as if every day of it were settled.
ALL_SETTLED = Settling(-24, -24)


def gather(
    ledger: Ledger, config: Config, first: date, now_ms: int, recommended: Reader = open_recommendations
) -> Facts:
    """Everything about the month that begins with `first`; CostError for one that has not begun.

    `recommended` reads what is open to be done.
    """
    answers = Answers(ledger, config.coordinator.fleet, config.costs.bill, lambda: now_ms)
    end = following(first)
    if first > answers.today():
        raise CostError(f"{first:%Y-%m} has not begun: there is nothing to report")
    over, until = answers.today() >= end, answers.until()
    last = end if over else max(first, until)
    window = Window(day_ms(first), day_ms(last))
    earlier = previous(first)
    compared = Window(day_ms(earlier), day_ms(first if over else min(first, earlier + (last - first))))
    year = Window(day_ms(_months_before(first, TREND_MONTHS - 1)), window.end_ms)
    days = reading.costs(ledger, year, answers.sources, ["day", "service"])
    tags = [f"tag:{tag}" for tag in watched_tags(config.budgets, config.anomalies)]
    by = ("service", "site", "kind", "unit")
    sides = [reading.costs(ledger, one, answers.sources, by) for one in (compared, window)]
    requests = [
        {use.key[0]: use.requests for use in reading.uses(ledger.engine, one, ["site"])}
        for one in (compared, window)
    ]
    movers = reasons(sides[0], sides[1], requests[0], requests[1])
    at_ms, settling = min(now_ms, day_ms(end) - 1), ALL_SETTLED if over else settling_of(config.anomalies)
    budgets, odd = _watched(ledger, config, window, at_ms, settling, over=over)
    return Facts(
        fleet=config.coordinator.fleet,
        first=first,
        made_ms=now_ms,
        window=window,
        over=over,
        until=until,
        sources=answers.sources,
        days=days,
        breakdowns=[
            Breakdown(one, answers.breakdown(window, [one]))
            for one in dict.fromkeys(["service", "site", *tags])
        ],
        compared=compared,
        movers=movers,
        moved=whole(movers),
        requests=answers.requests(window, "site"),
        energy_saved=saved(sums_by_name(ledger, window.start_ms, window.end_ms)),
        months=[] if over else answers.month(first),
        saved=_in_force(answers.savings(), last),
        waste=answers.waste(window),
        carbon=carbon(ledger, config, window),
        budgets=budgets,
        cloud_budgets=of_cloud(ledger, config, at_ms, settling, None if over else FORECAST),
        anomalies=odd,
        recommended=_largest_first(recommended(ledger.engine, config.coordinator.fleet)),
        missing=_missing(ledger, answers.sources, window),
    )


def _largest_first(found: Iterable[OpenRecommendation]) -> list[OpenRecommendation]:
    return sorted(found, key=lambda one: (one.currency, -one.middle, one.id))


def following(first: date) -> date:
    """The first day of the month after the one that begins then."""
    return (first + timedelta(days=31)).replace(day=1)


def previous(first: date) -> date:
    """The first day of the month before the one that begins then."""
    return (first - timedelta(days=1)).replace(day=1)


def carbon(ledger: Ledger, config: Config, window: Window) -> list[SiteCarbon]:
    """By site: what the energy of whole days of UTC emitted, as it was rolled up last."""
    zones = {site.name: site.carbon_zone for site in load_sites(config.edge.sites).site}
    energy: dict[str, dict[int, int]] = {}
    for site, hour_ms, energy_mj in _energy(ledger, window):
        energy.setdefault(site, {})[hour_ms] = energy_mj
    found = []
    for site, used in sorted(energy.items()):
        zone, sum_mj = zones.get(site, ""), sum(used.values())
        if not zone:
            found.append(SiteCarbon(site=site, zone="", energy_mj=sum_mj))
            continue
        span = (window.start_ms, window.end_ms)
        hourly = kept(ledger.engine, zone, "average", *span)
        average = emitted(used, hourly, "average", static_factors().get(zone))
        marginal = emitted(used, kept(ledger.engine, zone, "marginal", *span), "marginal")
        found.append(SiteCarbon(site=site, zone=zone, energy_mj=sum_mj, average=average, marginal=marginal))
    return found


def _energy(ledger: Ledger, window: Window) -> Iterable[tuple[str, int, int]]:
    """Site, hour and energy; a device's site is the one that it had on that day."""
    hour, day = hour_use.c, day_use.c
    same = (hour.device == day.device) & (hour.epoch == day.epoch)
    asked = (
        select(day.site, hour.hour_ms, func.sum(hour.energy_mj))
        .join(day_use, same & (day.day_ms == hour.hour_ms - hour.hour_ms % DAY_MS))
        .where(hour.hour_ms >= window.start_ms, hour.hour_ms < window.end_ms)
        .group_by(day.site, hour.hour_ms)
    )
    with ledger.engine.connect() as connection:
        for site, hour_ms, energy_mj in connection.execute(asked):
            yield str(site or ""), int(hour_ms), int(energy_mj)


def _watched(
    ledger: Ledger, config: Config, window: Window, at_ms: int, settling: Settling, *, over: bool
) -> tuple[list[Standing], list[Found]]:
    """The budgets as they stood at the month's end (or stand), and the month's anomalies."""
    first = day_of(window.start_ms)
    recent = recent_costs(ledger.engine, config).read(at_ms, 0.0)
    budgets = [
        standing(one, recent.costs, recent.tags, at_ms, settling, None if over else FORECAST)
        for one in config.budgets
    ]
    terms = terms_of(config.anomalies)
    watched = groups(recent.costs, recent.tags, config.anomalies.tags, at_ms, settling)
    found = [one for group in watched for one in anomalies(group, first, terms)]
    return budgets, sorted(found, key=lambda one: (-one.verdict.impact, one.verdict.day, one.by, one.value))


def _in_force(saved: Iterable[Saved], last: date) -> list[Saved]:
    return [one for one in saved if one.day < last]


def _missing(ledger: Ledger, sources: list[str], window: Window) -> list[tuple[str, list[date]]]:
    told: dict[str, set[str]] = {}
    for cost in _by_source(ledger, sources, window):
        told.setdefault(cost.key[0], set()).add(cost.key[1])
    first, days = day_of(window.start_ms), (window.end_ms - window.start_ms) // DAY_MS
    every = [first + timedelta(days=number) for number in range(days)]
    known = reading.latest(ledger.engine, sources)
    silent = [
        (source, [day for day in every if str(day) not in told.get(source, ())]) for source in sorted(known)
    ]
    return [(source, missing) for source, missing in silent if missing]


def _by_source(ledger: Ledger, sources: list[str], window: Window) -> list[Cost]:
    return reading.costs(ledger, window, sources, ["source", "day"])


def _months_before(first: date, count: int) -> date:
    for _ in range(count):
        first = previous(first)
    return first
