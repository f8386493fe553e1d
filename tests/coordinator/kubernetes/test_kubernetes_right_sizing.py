"""Right-sizing: by the vertical autoscaler, or by the requests themselves."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract import Contract, World, applied, order, proposed
from tests.kubeclient import Cluster
from tests.kubedrivers import BOOK, DEPLOYMENTS, NOW_MS, SHOP, VPAS, bare, deployment, rolled_out

from tidewatt_coordinator.levers.driver import Context, Lost
from tidewatt_coordinator.levers.kubernetes.client import kubernetes
from tidewatt_coordinator.levers.kubernetes.right_sizing import RightSizingDriver
from tidewatt_coordinator.levers.kubernetes.settings import (
    RightSizing,
)


def day(value: float) -> dict[int, float]:
    """Eight days, every five minutes."""
    return {NOW_MS - index * 300_000: value for index in range(2304)}


HISTORY = {"cpu": day(0.2), "memory": day(400e6), "killed": {}}


def history(query: str, _days: int) -> dict[int, float]:
    kinds = {"container_cpu": "cpu", "container_memory": "memory", "OOMKilled": "killed"}
    found: dict[int, float] = HISTORY[next(kind for word, kind in kinds.items() if word in query)]
    return found


class TestRightSizing(Contract):
    writes = "vpa"

    @pytest.fixture
    def world(self, cluster: Cluster) -> World:
        cluster.create(DEPLOYMENTS, deployment(replicas=10))
        rolled_out(cluster)
        settings = RightSizing(kubeconfig=cluster.kubeconfig, workloads=["default/shop"])
        return World(
            driver=RightSizingDriver(settings, BOOK, history),
            context=Context(now_ms=NOW_MS),
            raw=lambda: [bare(cluster.find(SHOP)), cluster.names(VPAS)],
            disturb=lambda: None,
        )

    def test_a_lost_precondition_changes_nothing(self, world: World) -> None:
        one = applied(world)
        before = world.raw()
        with pytest.raises(Lost):
            world.driver.send(
                order(one, replace(world.driver.read(one.target), content=one.before), one.after)
            )
        assert world.raw() == before

    def test_nodes_that_become_empty_are_what_is_saved_for_sure(self, world: World) -> None:
        one = proposed(world)
        policy = next(iter(one.after.values()))["spec"]["resourcePolicy"]["containerPolicies"][0]
        # Buckets end at 0.2 * (1.05^15 - 1) = 0.2158 vCPU and 200 MB * (1.05^23 - 1) = 414 MB; then 15 %.
        assert policy["minAllowed"] == {"cpu": "249m", "memory": "455Mi"}
        assert policy["maxAllowed"] == {"cpu": "1", "memory": "2Gi"}
        # Ten pods of 2 GiB need two nodes, of 455 MiB one.
        assert "fill 2 nodes of the mean size now, 1 then" in one.evidence[1]
        assert one.saving.low <= Decimal("0.29") * 730 <= one.saving.high

    def test_what_an_hpa_scales_by_stays(self, world: World, cluster: Cluster) -> None:
        hpas = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
        document = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        spec = {"scaleTargetRef": target, "maxReplicas": 5}
        cluster.create(hpas, document | {"metadata": {"name": "shop"}, "spec": spec})
        one = proposed(world)
        policy = next(iter(one.after.values()))["spec"]["resourcePolicy"]["containerPolicies"][0]
        assert policy["controlledResources"] == ["memory"]
        assert any("HPA" in sentence for sentence in one.evidence)

    def test_requests_that_others_manage_are_advice(self, world: World, cluster: Cluster) -> None:
        settings = RightSizing(kubeconfig=cluster.kubeconfig, workloads=["default/shop"], writes="patch")
        one = proposed(replace(world, driver=RightSizingDriver(settings, BOOK, history)))
        assert one.irreversible
        assert next(iter(one.after.values())) == {
            "requests": {"cpu": "249m", "memory": "455Mi"},
            "limits": {"cpu": "498m", "memory": "910Mi"},
        }

    def test_a_little_more_or_less_is_not_proposed_anew(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        applied(world)
        monkeypatch.setitem(HISTORY, "cpu", day(0.21))
        assert not world.driver.propose(world.driver.observe(), world.context)
        monkeypatch.setitem(HISTORY, "cpu", day(0.4))
        assert world.driver.propose(world.driver.observe(), world.context)

    def test_a_namespace_without_bounds_is_told(self, world: World, cluster: Cluster) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "shop-1-a", "namespace": "default"},
            "spec": {"containers": [{"name": "a", "image": "b", "resources": {"requests": {"cpu": "1"}}}]},
        }
        cluster.create("/api/v1/namespaces/default/pods", pod, {"phase": "Running"})
        told = world.driver.propose(world.driver.observe(), world.context)[-1]
        assert told.target == "namespace default"
        assert told.irreversible
        assert told.after == {"quota": {"cpu": "1300m", "memory": None}, "limit_ranges": 1}


class TestRequestsPatched(Contract):
    """The deployment's own requests, which we have set before."""

    @pytest.fixture
    def world(self, cluster: Cluster) -> World:
        bare_template = deployment(replicas=10)
        (container,) = bare_template["spec"]["template"]["spec"]["containers"]
        resources = container.pop("resources")
        cluster.create(DEPLOYMENTS, bare_template)
        settings = RightSizing(kubeconfig=cluster.kubeconfig, workloads=["default/shop"], writes="patch")
        with kubernetes(settings, "right_sizing") as asked:
            metadata = {"name": "shop", "namespace": "default"}
            body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
            ours = {"name": container["name"], "resources": resources}
            asked.apply(SHOP, body | {"spec": {"template": {"spec": {"containers": [ours]}}}})
        rolled_out(cluster)

        def set_cpu(one: dict[str, Any]) -> None:
            one["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "700m"

        return World(
            driver=RightSizingDriver(settings, BOOK, history),
            context=Context(now_ms=NOW_MS),
            raw=lambda: bare(cluster.find(SHOP)),
            disturb=lambda: cluster.update(SHOP, set_cpu),
            add_foreign=lambda: cluster.update(SHOP, lambda one: one["spec"].update(paused=True)),
            settle=lambda: rolled_out(cluster),
        )

    def test_requests_and_limits_are_written_together(self, world: World, cluster: Cluster) -> None:
        one = applied(world)
        assert not one.irreversible
        (container,) = cluster.find(SHOP)["spec"]["template"]["spec"]["containers"]
        assert container["resources"] == next(iter(one.after.values()))
        assert container["image"], "what others said of it stays"
