"""Rollouts over REST: how the fleet stands to its policy, and what was done to it. Nothing is changed here:
that is for `tidewatt policy`.
"""

from collections.abc import Callable, Sequence

import msgspec
from fastapi import APIRouter, Request, Response

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.rollout import report
from tidewatt_coordinator.rollout.journal import Journal
from tidewatt_coordinator.rollout.plan import State
from tidewatt_coordinator.rollout.roster import Roster
from tidewatt_coordinator.rollout.standing import Standing
from tidewatt_coordinator.web.kept import kept_for_a_while
from tidewatt_coordinator.web.paging import Cursor, Limit, after, paged

#: So many stragglers are named; the rest is a number.
MOST_NAMED = 200


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """What a wave must show before the next, and what it showed."""

    since_ms: int
    approved: int
    plan: object
    before: Sequence[object]
    joules_factor: float | None
    compared: bool


def router(journal: Journal, roster: Roster, planned: Callable[[], Standing]) -> APIRouter:
    """The routes under /v1/rollouts; `planned`: what stands where nothing was ever written."""
    routes = APIRouter(dependencies=[VIEWER], tags=["policy"])

    def draw_up() -> bytes:
        kept = journal.read()
        standing = kept.standing if kept else planned()
        told = report.status(standing, roster.read())
        body = msgspec.to_builtins(told) | {
            "stragglers": told.stragglers[:MOST_NAMED],
            "straggling": len(told.stragglers),
            "live": standing.live is not None,
            "gates": _gates(standing.rollout),
        }
        return msgspec.json.encode(body)

    current = kept_for_a_while(draw_up)

    @routes.get("/v1/rollouts", response_class=Response)
    def rollouts() -> Response:
        """The policy in force, the last rollout with its waves and gates, and who has not followed."""
        return Response(current(), media_type="application/json")

    @routes.get("/v1/rollouts/history", response_class=Response)
    def history(request: Request, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """Who did what to the policy, the newest first."""
        at = after(cursor, int)
        found = journal.history(limit + 1, int(at[0]) if at else None)
        return paged(request, "events", found, limit, lambda one: (one.version,))

    return routes


def _gates(state: State | None) -> Gates | None:
    if state is None:
        return None
    return Gates(
        since_ms=state.since_ms,
        approved=state.approved,
        plan=state.plan,
        before=state.before,
        joules_factor=state.joules_factor,
        compared=state.compared,
    )
