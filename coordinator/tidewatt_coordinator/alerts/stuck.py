"""Changes of settings that went wrong, as conditions of alerts. Pure.

What nobody has to see is none: a proposal that was taken back as it should be has done its work. What is
told is where somebody must look: it failed, somebody else changed the setting, it can't be taken back, or it
is final and the promise broke.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tidewatt_coordinator.alerts.episodes import Condition, Standing, alert_name
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_wire.messages import AlertSeverity

#: Proposals of one driver that have alerts of their own at a time: a driver without rights fails at all.
MOST_EACH = 5
#: What has ended badly is told for so long; then it is history.
TOLD_MS = 3 * 86_400_000


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One change that somebody must look at."""

    proposal: str
    driver: str
    target: str
    since_ms: int
    severity: AlertSeverity
    summary: str
    """A sentence."""


def trouble(one: Proposal, deadline_ms: int, guard_ms: int, now_ms: int) -> Trouble | None:
    """What is wrong with a proposal; None: nothing. `deadline_ms`: how long its driver may take, `guard_ms`:
    how long the promise is watched after it.
    """
    told, ms = one.recommendation, now_ms - one.since_ms
    begin = f"{told.driver}: {told.what} ({one.id})"
    severity: AlertSeverity = "critical"
    if one.stage == "undoing" and ms > deadline_ms:
        last = f": {one.said}" if one.said else ""
        summary = f"{begin} is being taken back for {ms // 60_000} minutes, in {one.tries} tries{last}"
    elif one.stage in ("applying", "guarding") and ms > deadline_ms + 2 * guard_ms:
        # Its driver is off, or its setting can't be read: else it would have ended.
        severity, summary = "warning", f"{begin} is {one.stage} for {ms // 60_000} minutes: {one.reason}"
    elif one.stage in ("failed", "foreign") and ms <= TOLD_MS:
        severity, summary = "warning", f"{begin} has ended as {one.stage}: {one.reason}"
    elif one.stage == "kept" and told.final and _broken(one) and ms <= TOLD_MS:
        summary = f"{begin}: {one.reason}"
    else:
        return None
    return Trouble(
        proposal=one.id,
        driver=told.driver,
        target=told.target,
        since_ms=one.since_ms,
        severity=severity,
        summary=summary,
    )


def of_troubles(
    found: Sequence[Trouble], over: Mapping[str, str], standing: Mapping[str, Standing]
) -> Iterator[Condition]:
    """The conditions of all that is wrong, or was. `over`: by the name of each alert that stands, what became
    of it if it is over; `standing`: the alerts in their last episode.
    """
    for driver in sorted({one.driver for one in found}):
        # Who has an alert keeps it: else one would end, and another begin, for each that is solved.
        mine = sorted(
            (one for one in found if one.driver == driver),
            key=lambda one: (not _open(standing, name_of(one.proposal)), one.since_ms, one.proposal),
        )
        for one in mine[:MOST_EACH]:
            yield _wrong(one)
        if rest := mine[MOST_EACH:]:
            yield Condition(
                name=name_of_rest(driver),
                kind="proposal",
                severity="critical" if any(one.severity == "critical" for one in rest) else "warning",
                true=True,
                summary=f"{driver}: {len(rest)} more of its changes went wrong; the first: {rest[0].summary}",
                details={"driver": driver, "proposals": str(len(rest))},
            )
    drivers = Counter(one.driver for one in found)
    names = {name_of(one.proposal) for one in found}
    names |= {name_of_rest(driver) for driver, count in drivers.items() if count > MOST_EACH}
    for name, alert in sorted(standing.items()):
        if alert.kind == "proposal" and alert.ended_ms is None and name in over and name not in names:
            yield Condition(
                name=name, kind="proposal", severity=alert.severity, true=False, summary=over[name],
                details=alert.details,
            )  # fmt: skip


def name_of(proposal: str) -> str:
    """The name of a proposal's alert."""
    return alert_name("proposal", proposal)


def name_of_rest(driver: str) -> str:
    """The name of the alert on those of a driver that have none of their own."""
    return alert_name("proposal-driver", driver)


def _wrong(one: Trouble) -> Condition:
    return Condition(
        name=name_of(one.proposal),
        kind="proposal",
        severity=one.severity,
        true=True,
        summary=one.summary,
        details={"driver": one.driver, "target": one.target, "proposal": one.proposal},
    )


def _broken(one: Proposal) -> bool:
    return one.verdict is not None and one.verdict.word == "violates"


def _open(standing: Mapping[str, Standing], name: str) -> bool:
    alert = standing.get(name)
    return alert is not None and alert.ended_ms is None
