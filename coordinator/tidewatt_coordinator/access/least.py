"""What a route asks of its caller at least.

A router or a route says it by one of the dependencies below: `APIRouter(dependencies=[VIEWER])`. Of several
all must be content. An application with a route that says nothing is not built: what was forgotten is shut.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from tidewatt_coordinator.access.roles import ROLES, Actor, Role, reaches


class UndeclaredError(ValueError):
    """A route doesn't say who may call it."""


class Least:
    """Lets those through who have a role. `by_site`: the route itself shows a caller who is bound to sites
    no more than these; one that doesn't is shut for him, as it is about the whole fleet.
    """

    def __init__(self, role: Role | None, *, by_site: bool = False) -> None:
        """`role` None: anybody, without being asked who he is."""
        self.role, self.by_site = role, by_site

    async def __call__(self, request: Request) -> None:
        """HTTPException 401 or 403 for whom it doesn't let through; else `request.state.actor` is set."""
        if self.role is None:
            return
        actor: Actor | None = getattr(request.state, "actor", None)
        if actor is None:
            actor = await request.app.state.gate.admit(request)
            request.state.actor = actor
        refused = self.refuses(actor)
        if refused:
            raise HTTPException(403, refused)

    def refuses(self, actor: Actor) -> str:
        """Why he may not, in a sentence; empty if he may."""
        if self.role is None:
            return ""
        if not reaches(actor.role, self.role):
            return f"this asks for the role {self.role!r} at least; yours is {actor.role!r}"
        if actor.sites and not self.by_site:
            return f"this is about the whole fleet; you are bound to: {', '.join(actor.sites)}"
        return ""


OPEN = Depends(Least(None))
VIEWER = Depends(Least("viewer"))
#: For routes that show only the sites of `request.state.actor`; see Actor.sees.
VIEWER_BY_SITE = Depends(Least("viewer", by_site=True))
OPERATOR = Depends(Least("operator"))
APPROVER = Depends(Least("approver"))
ADMIN = Depends(Least("admin"))


class Declared(NamedTuple):
    """A route, and what it asks."""

    path: str
    methods: frozenset[str]
    asked: list[Least]
    in_schema: bool

    @property
    def least(self) -> Role | None:
        """The least role that gets through; None: anybody does, also where nothing was asked."""
        return max((one.role for one in self.asked if one.role), key=ROLES.index, default=None)


def declared(app: FastAPI) -> Iterator[Declared]:
    """Every route of an application, with what it and the routers around it ask."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        yield Declared(
            path=route.path_format or route.path or repr(route.route),
            methods=frozenset(route.methods or ()),
            asked=list(_found(dependant)) if isinstance(dependant, Dependant) else [],
            in_schema=bool(getattr(route, "include_in_schema", False)),
        )


def check_declared(app: FastAPI) -> None:
    """UndeclaredError for the first route that doesn't say who may call it."""
    for route in declared(app):
        if not route.asked:
            raise UndeclaredError(
                f"route {route.path} doesn't say who may call it; give it one of access.least's"
            )


def described(schema: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    """An OpenAPI document with the roles and the ways to show one's own."""
    schema.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or the provider's token"},
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-tidewatt"},
    }
    for route in declared(app):
        for method in route.methods if route.in_schema else ():
            operation = schema["paths"][route.path][method.lower()]
            operation["security"] = [{"bearer": []}, {"session": []}] if route.least else []
            operation["x-least-role"] = route.least
    return schema


def _found(dependant: Dependant) -> Iterator[Least]:
    for one in dependant.dependencies:
        if isinstance(one.call, Least):
            yield one.call
        yield from _found(one)
