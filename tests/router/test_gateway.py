"""HTTPRoutes: weights by server-side apply, nothing else of the route, nothing of anybody else's."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.gatewayapi import ApiServer, api_server
from tests.kuberights import Right

from tidewatt_router.applier import Applier
from tidewatt_router.config import Config, Gateway
from tidewatt_router.proxies import CannotApply
from tidewatt_router.proxies.gateway import GatewayRoutes
from tidewatt_router.routes import Backend, Route
from tidewatt_router.splits import Split, Wanted

WANTED = Wanted(1, (Split("r", {"edge": 3, "cloud": 1}),))
NOTHING = Wanted(2, (Split("r", {"edge": 0, "cloud": 1}),))


ROLE = Path(__file__).parents[2] / "packaging/kubernetes/router/rbac.yaml"


def granted() -> set[Right]:
    """By the role that is shipped, to be bound in the routes' namespace."""
    (role,) = YAML(typ="safe").load_all(ROLE.read_text("utf-8"))
    return {
        ("namespace", verb, f"{group}/{kind}")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server("secret") as server:
        server.put("r", ["edge-svc", "cloud", "other"], "tidewatt-router")
        yield server
        assert server.asked <= granted(), "the role lacks it"


@pytest.fixture
def proxy(server: ApiServer, tmp_path: Path) -> GatewayRoutes:
    token = tmp_path / "token"
    token.write_text("secret\n")
    made = [Backend(name="edge", service="edge-svc"), Backend(name="cloud")]
    gateway = Gateway(server=server.url, namespace="web", token_file=str(token))
    return GatewayRoutes(Config(backend=made, route=[Route(name="r")]), gateway)


def test_only_the_weights_of_our_services_change(server: ApiServer, proxy: GatewayRoutes) -> None:
    proxy.check()
    assert not proxy.stands(WANTED)
    proxy.apply(WANTED)
    assert proxy.stands(WANTED)
    assert server.weights("r") == {"edge-svc": 3, "cloud": 1, "other": 1}
    route = server.routes["r"]
    assert route["spec"]["hostnames"] == ["x.example"]
    assert route["spec"]["rules"][0]["backendRefs"][0]["filters"] == [{"type": "x"}]
    ((_, sent),) = server.patches
    assert sent["spec"].keys() == {"rules"}
    proxy.apply(WANTED)
    assert len(server.patches) == 1  # what is right is left alone
    proxy.apply(NOTHING)
    assert server.weights("r")["edge-svc"] == 0
    assert server.asked == granted(), "the role has more than it takes"


def test_nothing_is_taken_from_another_manager(server: ApiServer, proxy: GatewayRoutes) -> None:
    server.managers["r"] = "argocd"
    with pytest.raises(CannotApply, match=r'HTTPRoute r: 409 .*conflict with "argocd": .spec.rules'):
        proxy.apply(WANTED)
    assert server.weights("r") == {"edge-svc": 1, "cloud": 1, "other": 1}


async def test_what_came_between_is_not_overwritten(server: ApiServer, proxy: GatewayRoutes) -> None:
    server.meddles = True
    applier = Applier(proxy, time.monotonic, 5.0)
    applier.want(WANTED)
    assert await applier.step() == 0.5
    assert "has been modified" in applier.why
    server.meddles = False
    assert await applier.step() == 5.0
    assert server.weights("r")["edge-svc"] == 3
    server.put("r", ["edge-svc", "cloud"], "tidewatt-router")
    await applier.step()
    assert applier.restored == 1
    assert server.weights("r")["edge-svc"] == 3


def test_what_is_wrong_is_said(server: ApiServer, proxy: GatewayRoutes, tmp_path: Path) -> None:
    with pytest.raises(CannotApply, match=r'HTTPRoute s: 404 httproutes "s" not found'):
        proxy.stands(Wanted(1, (Split("s", {"edge": 1}),)))
    server.put("r", ["cloud"], "tidewatt-router")
    with pytest.raises(CannotApply, match="HTTPRoute r has no backendRef edge-svc"):
        proxy.apply(WANTED)
    (tmp_path / "token").write_text("stale")
    with pytest.raises(CannotApply, match="HTTPRoute r: 401 Unauthorized"):
        proxy.check()
    (tmp_path / "token").unlink()
    with pytest.raises(CannotApply, match=r"gateway.server .*: No such file"):
        proxy.check()
