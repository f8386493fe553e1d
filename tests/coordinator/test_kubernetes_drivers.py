"""The drivers of Kubernetes before an API server: the stand-in, or a real one.

TIDEWATT_KUBECONFIG names the real one's file: an empty cluster with the definitions of tests/crds whole.
"""

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract import Contract, World, applied, how, order, proposed
from tests.kubeapi import KubeApi, kube_api
from tests.kubeclient import Cluster, kubeconfig
from tests.rights import Unlisted

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Context, Foreign, LeverError, Lost, Throttled, Unsure
from tidewatt_coordinator.levers.kubernetes.client import kubernetes
from tidewatt_coordinator.levers.kubernetes.karpenter import KarpenterDriver
from tidewatt_coordinator.levers.kubernetes.pools import BUFFERS, POOLS, buffer, layout, price_overlay
from tidewatt_coordinator.levers.kubernetes.replicas import ReplicasDriver
from tidewatt_coordinator.levers.kubernetes.right_sizing import RightSizingDriver
from tidewatt_coordinator.levers.kubernetes.settings import (
    Karpenter,
    KubernetesLever,
    NodeClass,
    Replicas,
    RightSizing,
    Scaled,
    wrong_kubernetes,
)
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.questions.changes import Changes
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.objectives import Service
from tidewatt_wire.messages import MaintenanceWindow

NOW_MS = 1_790_812_800_000
TOKEN = "t0ken"  # noqa: S105 - opens nothing
BOOK = load_book()
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SHOP = f"{DEPLOYMENTS}/shop"
HEADROOM = BUFFERS.format("default")
VPAS = "/apis/autoscaling.k8s.io/v1/namespaces/default/verticalpodautoscalers"
CLASS = NodeClass(role="nodes", ami="al2023@v20261101", tags={"karpenter.sh/discovery": "c"})


def deployment(**spec: Any) -> dict[str, Any]:
    sleep = {"preStop": {"sleep": {"seconds": 20}}}
    resources = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    container = {"name": "app", "image": "shop:1", "lifecycle": sleep, "resources": resources}
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 40},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template} | spec,
    }


def node(name: str) -> dict[str, Any]:
    labels = {
        "node.kubernetes.io/instance-type": "c7g.2xlarge",
        "karpenter.sh/capacity-type": "on-demand",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


ROOM = {"allocatable": {"cpu": "7910m", "memory": "15Gi"}, "capacity": {"cpu": "8", "memory": "16Gi"}}


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api(TOKEN) as found:
        yield found


@pytest.fixture
def cluster(api: KubeApi, tmp_path: Path) -> Iterator[Cluster]:
    real = os.environ.get("TIDEWATT_KUBECONFIG", "")
    found = Cluster(real or kubeconfig(tmp_path, api, TOKEN))
    try:
        for index in range(2):
            found.create("/api/v1/nodes", node(f"n{index}"), ROOM)
        yield found
    finally:
        found.close()


def rolled_out(cluster: Cluster, path: str = SHOP) -> None:
    """As the deployment's controller says it."""
    live = cluster.find(path)
    count = live["spec"].get("replicas", 1)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), count)
    cluster.status(path, counts | {"observedGeneration": live["metadata"]["generation"]})


def bare(document: dict[str, Any]) -> dict[str, Any]:
    """What people and controllers read of it."""
    return {"labels": document["metadata"].get("labels"), "spec": document["spec"]}


class TestKarpenter(Contract):
    @pytest.fixture
    def settings(self, cluster: Cluster) -> Karpenter:
        return Karpenter(kubeconfig=cluster.kubeconfig, workloads=["default/shop"], make_class=CLASS)

    @pytest.fixture
    def world(self, cluster: Cluster, settings: Karpenter) -> World:
        cluster.create(DEPLOYMENTS, deployment(replicas=10))
        rolled_out(cluster)
        zone = {
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "maxSkew": 1,
            "labelSelector": {"matchLabels": {"app": "shop"}},
        }

        def theirs() -> None:
            cluster.update(SHOP, lambda one: self.constraints(one).append(zone))
            rolled_out(cluster)

        def settle() -> None:
            ready = [{"type": "Ready", "status": "True", "reason": "r", "message": ""}]
            ready[0]["lastTransitionTime"] = "2026-11-21T00:00:00Z"
            for path in layout(settings):
                kind, _, name = path.rpartition("/")
                if name in cluster.names(kind):
                    cluster.status(path, {"conditions": ready})
            rolled_out(cluster)

        return World(
            driver=KarpenterDriver(settings, BOOK),
            context=Context(now_ms=NOW_MS),
            raw=lambda: [bare(cluster.find(SHOP)), cluster.names(POOLS)],
            disturb=lambda: cluster.update(SHOP, lambda one: self.constraints(one).append(self.odd(one))),
            add_foreign=theirs,
            settle=settle,
        )

    @staticmethod
    def constraints(one: dict[str, Any]) -> list[Any]:
        found: list[Any] = one["spec"]["template"]["spec"].setdefault("topologySpreadConstraints", [])
        return found

    @staticmethod
    def odd(_one: dict[str, Any]) -> dict[str, Any]:
        return {
            "topologyKey": "tidewatt.dev/capacity-spread",
            "whenUnsatisfiable": "DoNotSchedule",
            "maxSkew": 3,
        }

    # What somebody else puts there isn't ours: we have nothing there, so our precondition still holds. The
    # conflict of fields says it instead.
    def test_a_lost_precondition_changes_nothing(self, world: World) -> None:
        one = proposed(world)
        seen = world.driver.read(one.target)
        world.disturb()
        before = world.raw()
        with pytest.raises(Foreign, match="maxSkew"):
            world.driver.send(order(one, seen, one.after))
        assert world.raw() == before

    def test_what_is_proposed_is_priced_and_bounded(self, world: World) -> None:
        one = proposed(world)
        # Ten pods of 2 GiB are 2/3 of two nodes of 15 GiB at 0.29 USD; 70 % of that saves 70 %.
        middle = 2 * Decimal("0.2900") * 730 * 20 / 30 * Decimal("0.7") * Decimal("0.7")
        assert float(one.saving.middle) == pytest.approx(float(middle))
        assert one.saving.low == one.saving.middle == one.saving.high  # ten domains, ten pods: exact
        assert "70.0% to 70.0%" in one.evidence[1]
        assert one.effects  # drains well

    def test_half_of_it_is_told_and_gone_on_with(self, world: World, api: KubeApi, cluster: Cluster) -> None:
        one = proposed(world)
        api.faults = ["", "", "throttled"]
        if os.environ.get("TIDEWATT_KUBECONFIG"):
            return
        with pytest.raises(Unsure, match="2 of 5 objects were written"):
            world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert how(world, one) == "partial"
        world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert how(world, one) == "applied"
        assert not world.driver.read(one.target).settled
        world.settle()
        assert world.driver.read(one.target).settled
        assert len(cluster.names(POOLS)) == 3

    def test_a_manifest_that_the_definition_refuses_is_never_half_written(
        self, world: World, settings: Karpenter, cluster: Cluster
    ) -> None:
        wrong = KarpenterDriver(replace(settings, newer_than=5, expire_after="soon"), BOOK)
        one = proposed(replace(world, driver=wrong))
        with pytest.raises(LeverError, match="expireAfter"):
            wrong.send(order(one, wrong.read(one.target), one.after))
        assert cluster.names(POOLS) == []

    def test_headroom_is_made_and_taken_away_again(
        self, world: World, settings: Karpenter, cluster: Cluster
    ) -> None:
        driver = KarpenterDriver(replace(settings, headroom=3), BOOK)
        one = driver.propose(driver.observe(), world.context)[0]
        driver.send(order(one, driver.read(one.target), one.after))
        assert cluster.names(HEADROOM) == ["tidewatt-shop"]
        driver.send(order(one, driver.read(one.target), one.before, undo=True))
        assert cluster.names(HEADROOM) == []

    def test_headroom_and_overlays_are_as_their_definitions_say(
        self, settings: Karpenter, cluster: Cluster
    ) -> None:
        with kubernetes(KubernetesLever(kubeconfig=cluster.kubeconfig), "karpenter") as asked:
            for path, body in (
                buffer(replace(settings, headroom=3)),
                price_overlay("savings-plan", ["c7g.large"], "-15%"),
            ):
                named = body["metadata"] | {"name": path.rpartition("/")[2]}
                asked.apply(path, body | {"metadata": named}, dry_run=True)


def a_scaled(**values: Any) -> Scaled:
    one = Scaled(
        workload="default/shop", writes="deployment", forecast="peak", skill="skill", per_replica_rps=100
    )
    return replace(one, **values)


class TestReplicas(Contract):
    @pytest.fixture
    def world(self, cluster: Cluster) -> World:
        cluster.create(DEPLOYMENTS, deployment())
        settings = Replicas(kubeconfig=cluster.kubeconfig, scaled=[a_scaled()], fewer_at_once=1)
        with kubernetes(settings, "replicas") as asked:  # we have had the field before
            metadata = {"name": "shop", "namespace": "default"}
            body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
            asked.apply(SHOP, body | {"spec": {"replicas": 12}})
        rolled_out(cluster)
        return World(
            driver=ReplicasDriver(settings, BOOK, {"peak": 400.0, "skill": 0.5}.get),
            context=Context(now_ms=NOW_MS),
            raw=lambda: bare(cluster.find(SHOP)),
            disturb=lambda: cluster.update(SHOP, lambda one: one["spec"].update(replicas=9)),
            add_foreign=lambda: cluster.update(SHOP, lambda one: one["spec"].update(paused=True)),
            settle=lambda: rolled_out(cluster),
        )

    def test_it_asks_for_what_the_peak_needs(self, world: World) -> None:
        one = proposed(world)
        assert list(one.after.values()) == [6]  # 400 / (100 * 0.7)
        assert one.saving.low == 0  # a node may not become empty by it
        assert one.effects

    def test_a_field_of_somebody_else_is_advice_and_is_never_forced(self, world: World) -> None:
        world.disturb()
        one = proposed(world)
        assert one.irreversible
        assert "kubectl manages the field" in one.evidence[1]
        before = world.raw()
        with pytest.raises(Foreign, match="conflict"):
            world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert world.raw() == before

    def test_demand_is_followed_up_and_down_by_the_rule_alone(
        self, world: World, cluster: Cluster, tmp_path: Path
    ) -> None:
        """A surge whose promise is broken already; then a lull, by a quarter at once, each watched."""
        levers = Levers(
            changes_per_hour=0,
            replicas=Replicas(
                kubeconfig=cluster.kubeconfig,
                scaled=[a_scaled(service="shop")],
                dry_run=False,
                approve="rule",
            ),
        )
        peak, p95, at = {"peak": 1400.0, "skill": 0.5}, [200.0], [NOW_MS]
        service = Service(service="shop", p95_ms=60.0, throughput_rps=0.1, window_s=300.0)
        ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
        store = Proposals(ledger.engine, "f")
        lease = Lease(ledger.engine, "f", "one", 600_000, lambda: at[0])

        def measured(_service: Service, until_ms: int) -> dict[Any, dict[int, float]]:
            steps = [until_ms - index * 60_000 for index in range(10)]
            return {"p95_ms": dict.fromkeys(steps, p95[0]), "throughput_rps": dict.fromkeys(steps, 50.0)}

        pipeline = Pipeline(
            [ReplicasDriver(levers.replicas, BOOK, peak.get)],
            store,
            levers,
            Judge([service], measured, lambda: at[0]),
            lease,
            lambda: Context(now_ms=at[0]),
            lambda: at[0],
        )

        def minutes(count: int) -> int:
            for _ in range(count):
                at[0] += 60_000
                lease.keep()
                pipeline.tick()
                rolled_out(cluster)
            return int(cluster.find(SHOP)["spec"]["replicas"])

        assert minutes(3) == 20  # at once, though nothing else may begin and the promise is broken
        p95[0], peak["peak"] = 20.0, 700.0
        assert minutes(3) == 20  # the surge's own guard
        assert minutes(6) == 15
        peak["peak"] = 1400.0
        assert minutes(3) == 20  # a surge doesn't wait for the lull's guard
        peak["peak"] = 700.0
        minutes(6)
        p95[0] = 200.0
        assert minutes(6) == 20  # fewer broke the promise: taken back, and not tried again so soon
        stages = [kept.proposal.stage for kept in store.page("", 99)]
        assert stages.count("rolled_back") == 1
        assert not {"foreign", "failed"} & set(stages)
        assert stages.count("kept") > 1
        assert not Changes(ledger.engine).all(), "no bill tells the saving of one from that of the next"
        ledger.close()

    @pytest.mark.parametrize(
        ("fault", "raised", "becomes"),
        [
            ("lost", Lost, "untouched"),
            ("throttled", Throttled, "untouched"),
            ("broken", Unsure, "untouched"),
            ("timeout_before", Unsure, "untouched"),
            ("timeout_after", Unsure, "applied"),
        ],
    )
    def test_every_failure_says_what_it_means(
        self, world: World, api: KubeApi, fault: Any, raised: type[LeverError], becomes: str
    ) -> None:
        if os.environ.get("TIDEWATT_KUBECONFIG"):
            return  # a real one doesn't fail when told
        one = proposed(world)
        api.faults = [fault]
        with pytest.raises(raised):
            world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert how(world, one) == becomes

    def test_nobody_there_is_surely_nothing_done(self, cluster: Cluster, tmp_path: Path) -> None:
        api = KubeApi()
        api.url = "http://127.0.0.1:9"
        settings = Replicas(kubeconfig=kubeconfig(tmp_path, api, TOKEN), scaled=[a_scaled()])
        with pytest.raises(Throttled, match="nothing was sent"):
            ReplicasDriver(settings, BOOK, lambda _query: None).observe()

    def test_a_call_that_is_not_listed_fails_the_test_that_makes_it(self, cluster: Cluster) -> None:
        class Silent(ReplicasDriver):
            calls = ()

        with pytest.raises(Unlisted, match="lacks list nodes"):
            Silent(Replicas(kubeconfig=cluster.kubeconfig), BOOK, lambda _query: None).observe()

    def test_the_bound_of_an_autoscaler(self, cluster: Cluster) -> None:
        cluster.create(DEPLOYMENTS, deployment(replicas=4))
        hpas = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
        document = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        spec = {"scaleTargetRef": target, "maxReplicas": 5}
        cluster.create(hpas, document | {"metadata": {"name": "shop"}, "spec": spec})
        settings = Replicas(kubeconfig=cluster.kubeconfig, scaled=[a_scaled(writes="hpa")])
        driver = ReplicasDriver(settings, BOOK, {"peak": 4000.0, "skill": 0.5}.get)
        one = driver.propose(driver.observe(), Context(now_ms=NOW_MS))[0]
        assert list(one.after.values()) == [2]  # from 1 at most to twice that
        assert one.saving.middle < 0  # more costs more, and says so
        driver.send(order(one, driver.read(one.target), one.after))
        assert cluster.find(f"{hpas}/shop")["spec"] == spec | {"minReplicas": 2}
        driver.send(order(one, driver.read(one.target), one.before, undo=True))
        assert cluster.find(f"{hpas}/shop")["spec"] == spec


class TestKeda(Contract):
    """The least replicas of a ScaledObject."""

    PATH = "/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects/queue"

    @pytest.fixture
    def world(self, cluster: Cluster, api: KubeApi) -> World:
        if os.environ.get("TIDEWATT_KUBECONFIG"):
            pytest.skip("needs KEDA's definitions in the real cluster")
        kind = "/apis/keda.sh/v1alpha1/scaledobjects"
        api.kinds.add(kind)
        cluster.create(DEPLOYMENTS, deployment(replicas=4))
        objects = kind.replace("v1alpha1/", "v1alpha1/namespaces/default/")
        document = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "queue"}}
        spec = {"scaleTargetRef": {"name": "shop"}, "maxReplicaCount": 15, "triggers": [{"type": "cron"}]}
        cluster.create(objects, document | {"spec": spec})
        path = self.PATH
        scaled = a_scaled(writes="keda", autoscaler="queue", production=False, least=0)
        settings = Replicas(kubeconfig=cluster.kubeconfig, scaled=[scaled])
        with kubernetes(settings, "replicas") as asked:  # we have had the field before
            ours = document | {"metadata": {"name": "queue", "namespace": "default"}}
            asked.apply(path, ours | {"spec": {"minReplicaCount": 12}})
        return World(
            driver=ReplicasDriver(settings, BOOK, {"peak": 400.0, "skill": 0.5}.get),
            context=Context(now_ms=NOW_MS),
            raw=lambda: bare(cluster.find(path)),
            disturb=lambda: cluster.update(path, lambda one: one["spec"].update(minReplicaCount=9)),
            add_foreign=lambda: cluster.update(path, lambda one: one["spec"].update(cooldownPeriod=9)),
        )

    def test_a_bound_that_nobody_had_set_is_gone_again(self, world: World, cluster: Cluster) -> None:
        cluster.update(self.PATH, lambda one: one["spec"].pop("minReplicaCount"))
        one, before = applied(world), cluster.find(self.PATH)["spec"]
        assert (list(one.before.values()), before["minReplicaCount"]) == (
            [None],
            1,
        )  # at most twice as many, from none to one
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        now = cluster.find(self.PATH)["spec"]
        assert now == {key: value for key, value in before.items() if key != "minReplicaCount"}


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


def test_settings_that_cannot_work_are_told_in_sentences() -> None:
    window = MaintenanceWindow(start="20:00", minutes=600)
    told = wrong_kubernetes(
        Karpenter(enabled=True, types=["c7g.large"], spot=0.04),
        Replicas(scaled=[a_scaled(least=3, most=2), a_scaled(asleep=[window])]),
        RightSizing(enabled=True),
    )
    assert len(list(told)) == 7


def test_a_cluster_is_found_by_a_file_and_its_commands_token(api: KubeApi, tmp_path: Path) -> None:
    path = Path(kubeconfig(tmp_path, api, ""))
    document = json.loads(path.read_text())
    told = json.dumps({"kind": "ExecCredential", "status": {"token": TOKEN}})
    asked = {"command": "echo", "args": [told], "env": [{"name": "A", "value": "b"}]}
    document["users"] = [{"name": "u", "user": {"exec": asked}}]
    path.write_text(json.dumps(document))
    with kubernetes(KubernetesLever(kubeconfig=str(path)), "karpenter") as asking:
        assert list(asking.items("/api/v1/nodes")) == []
        assert asking.find("/apis/none/v1/things/x") is None
    document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    path.write_text(json.dumps(document))
    for changed, sentence in (
        ({}, "insecure-skip-tls-verify"),
        ({"current-context": "x"}, "no context is named"),
    ):
        path.write_text(json.dumps(document | changed))
        with (
            pytest.raises(LeverError, match=sentence),
            kubernetes(KubernetesLever(kubeconfig=str(path)), "karpenter"),
        ):
            pass
