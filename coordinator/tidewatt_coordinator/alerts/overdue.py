"""Boards whose sleep went wrong, as conditions of alerts: who missed its wake time, who woke unwell. Pure.

Each is an alert of its own, as somebody has to go there. Where a whole site misses its time the cause is
the site's, and a hundred letters say no more than one: beyond the first few there is one for the site.
"""

from collections.abc import Iterator, Mapping, Sequence

from tidewatt_coordinator.alerts.episodes import Condition, Standing, alert_name
from tidewatt_coordinator.alerts.troubles import TROUBLES, Sleeper, Trouble

#: Boards of one site that have alerts of their own at a time.
MOST_EACH = 5


def of_sleepers(sleepers: Sequence[Sleeper], standing: Mapping[str, Standing]) -> list[Condition]:
    """The conditions of all who are ill, or were; `standing`: the alerts in their last episode."""
    found: list[Condition] = []
    for site in sorted({one.site for one in sleepers}):
        here = [one for one in sleepers if one.site == site]
        for trouble in TROUBLES:
            found += _of_site(site, trouble, here, standing)
    return found


def _of_site(
    site: str, trouble: Trouble, here: Sequence[Sleeper], standing: Mapping[str, Standing]
) -> Iterator[Condition]:
    # Who has an alert keeps it: else one would end, and another begin, for each board that comes back.
    ill = sorted(
        (one for one in here if trouble.has(one)),
        key=lambda one: (not _open(trouble, standing, one), one.due_ms, one.device),
    )
    for one in ill[:MOST_EACH]:
        yield _wrong(trouble, one)
    for one in here:
        if not (has := trouble.has(one)) and _open(trouble, standing, one):
            yield _over(trouble, one, has)
    name = alert_name(f"{trouble.name}-site", site)
    if len(ill) > MOST_EACH:
        first = min(ill, key=lambda one: (one.due_ms, one.device))
        yield Condition(
            name=name,
            kind=trouble.kind,
            severity="critical",
            true=True,
            summary=f"{_site(site)}: {len(ill)} {trouble.many}; the first is {first.device}",
            details={"site": site, "boards": str(len(ill))},
        )
    elif name in standing and standing[name].ended_ms is None:
        words = "are overdue now" if trouble.kind == "sleep" else "are unwell now"
        summary = f"{_site(site)}: {len(ill)} boards {words}, and have alerts of their own"
        yield Condition(name=name, kind=trouble.kind, severity="critical", true=False, summary=summary)


def _wrong(trouble: Trouble, one: Sleeper) -> Condition:
    where = f" ({_site(one.site)})" if one.site else ""
    return Condition(
        name=alert_name(trouble.name, one.device),
        kind=trouble.kind,
        severity=trouble.severity,
        true=True,
        summary=f"{one.device}{where} {trouble.what(one)}",
        details={"device": one.device, "site": one.site, **trouble.details(one)},
    )


def _over(trouble: Trouble, one: Sleeper, has: bool | None) -> Condition:
    return Condition(
        name=alert_name(trouble.name, one.device),
        kind=trouble.kind,
        severity=trouble.severity,
        true=has,
        summary=f"{one.device} {trouble.over(one)}",
        details={"device": one.device, "site": one.site},
    )


def _open(trouble: Trouble, standing: Mapping[str, Standing], one: Sleeper) -> bool:
    alert = standing.get(alert_name(trouble.name, one.device))
    return alert is not None and alert.ended_ms is None


def _site(site: str) -> str:
    return f"site {site}" if site else "boards without a site"
