"""Boards that missed their wake time, as conditions of alerts. Pure.

Each is an alert of its own, as somebody has to go there. Where a whole site misses its time the cause is
the site's, and a hundred letters say no more than one: beyond the first few there is one for the site.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tidewatt_coordinator.alerts.episodes import Condition, Standing, alert_name
from tidewatt_coordinator.costs.days import iso
from tidewatt_wire.sleeping import SleepState

#: Boards of one site that have alerts of their own at a time.
MOST_EACH = 5


class Sleeper(msgspec.Struct, frozen=True, kw_only=True):
    """A board that has told of its sleep."""

    device: str
    site: str
    overdue: bool
    state: SleepState


def of_sleepers(sleepers: Sequence[Sleeper], standing: Mapping[str, Standing]) -> list[Condition]:
    """The conditions of all who are overdue, or were; `standing`: the alerts in their last episode."""
    found: list[Condition] = []
    for site in sorted({one.site for one in sleepers}):
        found += _of_site(site, [one for one in sleepers if one.site == site], standing)
    return found


def _of_site(site: str, here: Sequence[Sleeper], standing: Mapping[str, Standing]) -> Iterator[Condition]:
    # Who has an alert keeps it: else one would end, and another begin, for each board that comes back.
    late = sorted(
        (one for one in here if one.overdue),
        key=lambda one: (not _open(standing, one), _due(one), one.device),
    )
    for one in late[:MOST_EACH]:
        yield _missed(one)
    for one in here:
        if not one.overdue and _open(standing, one):
            yield _back(one)
    name = alert_name("sleep-site", site)
    if len(late) > MOST_EACH:
        first = min(late, key=lambda one: (_due(one), one.device))
        summary = (
            f"{_site(site)}: {len(late)} boards have missed their wake time; the first is {first.device}"
        )
        details = {"site": site, "boards": str(len(late))}
        yield Condition(
            name=name, kind="sleep", severity="critical", true=True, summary=summary, details=details
        )
    elif name in standing and standing[name].ended_ms is None:
        summary = f"{_site(site)}: {len(late)} boards are overdue now, and have alerts of their own"
        yield Condition(name=name, kind="sleep", severity="critical", true=False, summary=summary)


def _missed(one: Sleeper) -> Condition:
    where = f" ({_site(one.site)})" if one.site else ""
    until = iso(one.state.until_ms or _due(one))
    return Condition(
        name=alert_name("sleep", one.device),
        kind="sleep",
        true=True,
        summary=f"{one.device}{where} was to wake at {until} and has not been heard since: "
        "its alarm failed, or its network",
        details={"device": one.device, "site": one.site, "wake_time": until},
    )


def _back(one: Sleeper) -> Condition:
    last = one.state.last
    how = f": {last.detail}" if last and last.detail else ""
    able = "" if one.state.able else "; it sleeps no more for now"
    return Condition(
        name=alert_name("sleep", one.device),
        kind="sleep",
        true=False,
        summary=f"{one.device} is back{how}{able}",
        details={"device": one.device, "site": one.site},
    )


def _open(standing: Mapping[str, Standing], one: Sleeper) -> bool:
    alert = standing.get(alert_name("sleep", one.device))
    return alert is not None and alert.ended_ms is None


def _due(one: Sleeper) -> int:
    return one.state.expires_at_ms or one.state.at_ms


def _site(site: str) -> str:
    return f"site {site}" if site else "boards without a site"
