"""Every route by every role: made from the application's own routes, so that none can be forgotten."""

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from tests.access import acting

from tidewatt_coordinator.access.least import VIEWER, UndeclaredError, check_declared, declared
from tidewatt_coordinator.access.roles import ROLES, Role, reaches
from tidewatt_coordinator.access.settings import Access, Oidc, Web
from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.config import Config, Ledger
from tidewatt_coordinator.web import api
from tidewatt_link.connection import Connection
from tidewatt_wire.messages import Birth

#: They show the same to everybody, or ask who somebody is themselves.
OPEN = {
    "GET /", "GET /static/{name}", "GET /healthz", "GET /readyz", "GET /login", "GET /login/login.css",
    "POST /login", "POST /logout", "GET /v1/session", "GET /login/oidc", "GET /login/oidc/callback",
}  # fmt: skip
#: They change nothing, though they are asked by POST.
READING = {"POST /v1/metrics/query", "POST /v1/simulate", "POST /v1/simulate/batch"}
#: They show to somebody who is bound to sites only these.
BY_SITE = {
    "GET /v1/fleet", "GET /v1/devices", "GET /v1/devices/{device}", "GET /v1/history/{device}",
    "GET /v1/version", "GET /v1/stream", "GET /v1/stream/poll",
}  # fmt: skip


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    database = tmp_path_factory.mktemp("access") / "l.db"
    oidc = Oidc(discovery="https://127.0.0.1:1/x", client_id="t", roles={"a": "admin"})
    config = Config(
        ledger=Ledger(url=f"sqlite:///{database}"),
        access=Access(oidc=oidc),
        web=Web(public_url="https://t.example"),
    )
    made = Coordinator(config, Connection("mqtt://127.0.0.1:1"), None)
    for site in ("roof", "yard"):
        made.fleet.born(
            Birth(
                device=f"d-{site}", session="s", epoch="e", at_ms=1, version="0", board="b",
                control="observe",                labels={"site": site}, points=[], vendor_default="25W",
            ),
            1,
        )  # fmt: skip
    made.web.state.streams.end()  # nobody waits here for what comes
    yield made
    made.ledger.close()


def asked(web: FastAPI) -> list[tuple[str, Role | None]]:
    """Every method of every route, and the least role."""
    return [(f"{method} {one.path}", one.least) for one in declared(web) for method in sorted(one.methods)]


def answers(coordinator: Coordinator, role: Role | None, sites: tuple[str, ...] = ()) -> dict[str, int]:
    """What each route answers to somebody of a role; with None, to nobody."""
    web = acting(coordinator.web, role, sites) if role else coordinator.web

    async def ask() -> dict[str, int]:
        found = {}
        transport = httpx.ASGITransport(web)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for name, _least in asked(coordinator.web):
                method, path = name.split()
                path = re.sub(r"\{[^}]*\}", "x", path)
                found[name] = (await client.request(method, path)).status_code
        return found

    return asyncio.run(ask())


def test_every_route_asks_for_its_least_role(coordinator: Coordinator) -> None:
    wanted = dict(asked(coordinator.web))
    assert {name for name, least in wanted.items() if least is None} == OPEN
    for name, least in wanted.items():
        if not name.startswith("GET ") and name not in OPEN | READING:
            assert least is not None, name
            assert least != "viewer", name
    nobody = answers(coordinator, None)
    assert {name for name, status in nobody.items() if status == 401} - OPEN == set(wanted) - OPEN
    for role in ROLES:
        found = answers(coordinator, role)
        shut = {name for name, status in found.items() if status == 403} - OPEN
        assert shut == {name for name, least in wanted.items() if least and not reaches(role, least)}, role
        assert not {name: status for name, status in found.items() if status == 500}


def test_who_is_bound_to_sites_gets_no_further(coordinator: Coordinator) -> None:
    found = answers(coordinator, "admin", ("roof",))
    assert {name for name, status in found.items() if status != 403} - OPEN == BY_SITE


def test_a_site_sees_its_own_devices_and_no_totals_of_others(coordinator: Coordinator) -> None:
    async def ask() -> dict[str, object]:
        transport = httpx.ASGITransport(acting(coordinator.web, "viewer", ("yard",)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            found: dict[str, object] = (await client.get("/v1/fleet")).json()
            return found

    found = asyncio.run(ask())
    assert [one["device"] for one in found["devices"]] == ["d-yard"]  # type: ignore[attr-defined]
    assert found["known"] == 1
    assert not {"cost", "costs", "watts", "policies", "energy_joules", "dispatch_reason"} & set(found)


def test_a_route_that_was_forgotten_is_not_served(coordinator: Coordinator) -> None:
    forgotten = APIRouter()

    @forgotten.get("/v1/secret")
    def secret() -> str:
        return "told"

    with pytest.raises(UndeclaredError, match="/v1/secret"):
        api.build(coordinator.now, CollectorRegistry(), coordinator.entry.gate, forgotten)
    outer = APIRouter(dependencies=[VIEWER], prefix="/inner")
    outer.include_router(forgotten)
    web = FastAPI(openapi_url=None)
    web.include_router(outer)
    check_declared(web)
    assert [(one.path, one.least) for one in declared(web)] == [("/inner/v1/secret", "viewer")]


def test_openapi_says_the_roles(coordinator: Coordinator) -> None:
    async def ask() -> dict[str, dict[str, dict[str, dict[str, object]]]]:
        transport = httpx.ASGITransport(acting(coordinator.web, "viewer"))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            found: dict[str, dict[str, dict[str, dict[str, object]]]] = (
                await client.get("/openapi.json")
            ).json()
            return found

    paths = asyncio.run(ask())["paths"]
    assert paths["/v1/config/apply"]["post"]["x-least-role"] == "approver"
    assert paths["/v1/fleet"]["get"]["security"] == [{"bearer": []}, {"session": []}]
    assert paths["/healthz"]["get"]["security"] == []
