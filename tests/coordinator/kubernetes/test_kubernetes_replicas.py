"""Replicas: of deployments, and of the autoscalers that stand over them."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.contract import Contract, World, applied, how, order, proposed
from tests.kubeapi import KubeApi
from tests.kubeclient import Cluster, kubeconfig
from tests.kubedrivers import (
    BOOK,
    DEPLOYMENTS,
    NOW_MS,
    SHOP,
    TOKEN,
    a_scaled,
    bare,
    deployment,
    rolled_out,
)
from tests.rights import Unlisted

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Context, Foreign, LeverError, Lost, Throttled, Unsure
from tidewatt_coordinator.levers.kubernetes.client import kubernetes
from tidewatt_coordinator.levers.kubernetes.replicas import ReplicasDriver
from tidewatt_coordinator.levers.kubernetes.settings import (
    Replicas,
)
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.questions.changes import Changes
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.objectives import Service


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
