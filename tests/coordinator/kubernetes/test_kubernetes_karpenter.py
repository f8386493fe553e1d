"""Karpenter's pools and the overlay of prices, before an API server."""

import os
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract import Contract, World, how, order, proposed
from tests.kubeapi import KubeApi
from tests.kubeclient import Cluster
from tests.kubedrivers import (
    BOOK,
    CLASS,
    DEPLOYMENTS,
    HEADROOM,
    NOW_MS,
    SHOP,
    bare,
    deployment,
    rolled_out,
)

from tidewatt_coordinator.levers.driver import Context, Foreign, LeverError, Unsure
from tidewatt_coordinator.levers.kubernetes.client import kubernetes
from tidewatt_coordinator.levers.kubernetes.karpenter import KarpenterDriver
from tidewatt_coordinator.levers.kubernetes.pools import POOLS, buffer, layout, price_overlay
from tidewatt_coordinator.levers.kubernetes.settings import (
    Karpenter,
    KubernetesLever,
)


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
