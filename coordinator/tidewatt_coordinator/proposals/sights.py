"""What the drivers of the bill see: built from the running coordinator's own parts."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec.structs import replace

from tidewatt_coordinator.alerts.watch import recent_costs
from tidewatt_coordinator.anomalies.groups import Found, anomalies, groups, terms_of
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.days import day_of
from tidewatt_coordinator.costs.series import Settling
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.proposals.state import LIVE
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.questions.answers import Answers

#: Of today, too: what a day has cost so far it will have cost at the least.
AT_ONCE = Settling(-24, -24)
DESCRIBED = ("day", "service", "kind", "description")


def sights(
    ledger: Ledger, config: Config, answers: Answers, store: Proposals, now_ms: Callable[[], int]
) -> Sights:
    """One coordinator's."""
    brakes = [one.tag for one in config.levers.cost_spike.brakes if one.tag]
    watched_tags = list(dict.fromkeys([*config.anomalies.tags, *brakes]))
    settings = replace(config.anomalies, tags=watched_tags)
    recent = recent_costs(ledger.engine, replace(config, anomalies=settings))

    def spikes(days: int) -> Sequence[Found]:
        at_ms = now_ms()
        seen = recent.read(at_ms, time.monotonic())
        first, terms = day_of(at_ms) - timedelta(days=days - 1), terms_of(settings)
        watched = groups(seen.costs, seen.tags, settings.tags, at_ms, AT_ONCE)
        return [one for group in watched for one in anomalies(group, first, terms)]

    return Sights(
        spent=lambda days, by: answers.breakdown(answers.last(days), by),
        described=lambda days, services: answers.breakdown(answers.last(days), DESCRIBED, services),
        spikes=spikes,
        proposed=lambda: [kept.proposal.recommendation for kept in store.of(("open", *LIVE))],
    )
