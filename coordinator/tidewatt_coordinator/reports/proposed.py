"""The recommendations that are open, as the proposals' journal has them."""

from sqlalchemy import Engine

from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.proposals.store import open_proposals
from tidewatt_coordinator.reports.recommended import OpenRecommendation


def open_recommendations(database: Engine, fleet: str) -> list[OpenRecommendation]:
    """What waits for a person, a limit or its turn."""
    return [_listed(one) for one in open_proposals(database, fleet)]


def _listed(one: Proposal) -> OpenRecommendation:
    said = one.recommendation
    return OpenRecommendation(
        id=one.id,
        what=said.what,
        service=said.service,
        stage="approved" if one.stage == "approved" else "open",
        low=said.saving.low,
        middle=said.saving.middle,
        high=said.saving.high,
        currency=said.saving.currency,
        risk=said.risk,
        made_ms=one.made_ms,
        verdict=one.verdict.sentence if one.verdict else "",
        irreversible=said.irreversible,
    )
