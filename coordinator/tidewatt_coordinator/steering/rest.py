"""Dispatch over REST: what is in force, why, and what would be."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.steering.book import Kept
from tidewatt_coordinator.steering.choosing import NoTable
from tidewatt_coordinator.steering.explaining import explain
from tidewatt_coordinator.steering.orders import Order
from tidewatt_coordinator.steering.preview import Changes, preview
from tidewatt_coordinator.steering.publishing import message
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_coordinator.web.models import Dispatch, DispatchOrder, Explained
from tidewatt_wire.codec import encode


def router(steering: Steering) -> APIRouter:
    """The routes under /v1/dispatch. Nothing can be changed here: that is for `tidewatt dispatch`."""
    routes = APIRouter(dependencies=[VIEWER])

    def last() -> Kept:
        if steering.last is None:
            raise HTTPException(404, "no dispatch table has been published yet")
        return steering.last

    @routes.get("/v1/dispatch")
    def dispatch() -> Dispatch:
        """The dispatch table last published; 404 before the first."""
        kept = last()
        table = kept.message
        return Dispatch(
            epoch=table.epoch,
            issued_at_ms=table.issued_at_ms,
            expires_at_ms=table.expires_at_ms,
            weights=table.weights,
            reason=table.reason,
            classes={one.name: one.weights for one in table.classes},
            shed={one.name: one.shed for one in table.classes if one.shed},
            safe={one.name: one.weights for one in table.safe},
            cost_per_hour=table.certificate.cost_per_hour if table.certificate else None,
            bound_per_hour=table.certificate.bound_per_hour if table.certificate else None,
            gap=table.certificate.gap if table.certificate else None,
            currency=kept.currency,
            shadow_per_day=table.certificate.shadow_per_day if table.certificate else {},
            orders=[_order(one) for one in kept.facts.orders],
            obstacle=steering.obstacle or None,
        )

    @routes.get("/v1/dispatch/explain")
    def explained(name: Annotated[str, Query(alias="class")] = "") -> Explained:
        """Why the weights are as they are, in sentences: of every class, or of one."""
        kept = last()
        _known(name, kept)
        facts = kept.facts
        sentences = list(explain(kept.table, facts.backends, facts.classes, facts.terms, kept.currency, name))
        return Explained(epoch=kept.epoch, reason=kept.message.reason, sentences=sentences)

    @routes.get("/v1/dispatch/preview", response_class=Response)
    def previewed(
        drain: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI's
        without_orders: bool = False,
    ) -> Response:
        """The table that would follow if these backends got nothing, as the wire would have it."""
        kept = last()
        valid_s = steering.settings.valid_s
        try:
            chosen = preview(kept, Changes(drain=drain, without_orders=without_orders), valid_s)
        except (ValueError, NoTable) as error:
            raise HTTPException(422, str(error)) from error
        found = message(
            chosen,
            kept.facts.classes,
            fleet=kept.message.fleet,
            epoch=kept.epoch,
            now_ms=kept.message.issued_at_ms,
            valid_ms=round(valid_s * 1000),
            currency=kept.currency,
        )
        return Response(encode(found), media_type="application/json")

    return routes


def _known(name: str, kept: Kept) -> None:
    names = [one.name for one in kept.facts.classes]
    if name and name not in names:
        raise HTTPException(404, f"there is no class {name!r}; there are: {', '.join(names)}")


def _order(one: Order) -> DispatchOrder:
    return DispatchOrder(
        id=one.id,
        kind=one.kind,
        by=one.by,
        why=one.why,
        made_ms=one.made_ms,
        until_ms=one.until_ms,
        in_force_ms=one.in_force_ms,
        sentence=one.sentence,
    )
