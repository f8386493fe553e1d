"""What is watched: every service, every site, every value of the tags that are named. Pure."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.anomalies.detect import Terms, Verdict, judge
from tidewatt_coordinator.anomalies.settings import Anomalies
from tidewatt_coordinator.costs.series import Coverage, DayCost, Days, Settling, series

SITE = "site"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A service, a site or a tag's value, in one currency."""

    by: str
    """service, site or tag:name."""
    value: str
    currency: str
    days: Days


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly, with what it is about."""

    by: str
    value: str
    currency: str
    verdict: Verdict


def terms_of(settings: Anomalies) -> Terms:
    """What counts as too much, by the configuration."""
    return Terms(
        floor=settings.floor,
        percent=Decimal(settings.percent),
        deviations=Decimal(str(settings.deviations)),
        weeks=settings.weeks,
    )


def settling_of(settings: Anomalies) -> Settling:
    """When days are settled, by the configuration."""
    return Settling(settings.settle_hours, settings.edge_settle_hours)


def groups(
    costs: Sequence[DayCost], tags: Sequence[str], watched: Sequence[str], now_ms: int, settling: Settling
) -> Iterator[Group]:
    """The groups, each with its known days. Only usage: taxes, purchases and credits come when they come.

    `tags` are the names of the tags that `costs` were read with; of those `watched` has a group each.
    """
    usage = [one for one in costs if one.kind == "Usage"]
    coverage = Coverage(costs)
    keys: dict[str, Callable[[DayCost], str]] = {"service": lambda one: one.service}
    for tag in dict.fromkeys([SITE, *watched]):
        keys[tag if tag == SITE else f"tag:{tag}"] = _tag(tags.index(tag))
    for by, key in keys.items():
        found = series(usage, key, lambda one: one.effective, coverage, now_ms, settling)
        for (value, currency), days in sorted(found.items()):
            yield Group(by=by, value=value, currency=currency, days=days)


def anomalies(group: Group, first: date, terms: Terms) -> Iterator[Found]:
    """The group's anomalies from a day on."""
    for day in group.days:
        verdict = judge(group.days, day, terms) if day >= first else None
        if verdict and verdict.kinds:
            yield Found(by=group.by, value=group.value, currency=group.currency, verdict=verdict)


def latest(group: Group, quiet_days: int, terms: Terms) -> list[Verdict]:
    """The verdicts on the group's last known days, the newest last; of so many that an anomaly ends with
    them. Days that can't be judged are left out.
    """
    verdicts = (judge(group.days, day, terms) for day in sorted(group.days)[-quiet_days:])
    return [one for one in verdicts if one]


def _tag(index: int) -> Callable[[DayCost], str]:
    return lambda one: one.tags[index]
