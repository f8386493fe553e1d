"""What the drivers of Kubernetes reckon: shares of spot, replicas, percentiles, packing."""

import math
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tidewatt_coordinator.levers.kubernetes.ahead import wanted
from tidewatt_coordinator.levers.kubernetes.managed import others, ours
from tidewatt_coordinator.levers.kubernetes.nodes import Node, packed, pod_month, quantity, split
from tidewatt_coordinator.levers.kubernetes.percentiles import (
    DAY_MS,
    Size,
    daily_peaks,
    percentile,
    replay,
    target,
)
from tidewatt_coordinator.levers.kubernetes.pools import DOMAIN, bound, drains_well, layout
from tidewatt_coordinator.levers.kubernetes.settings import Karpenter, RightSizing, Scaled
from tidewatt_coordinator.levers.kubernetes.usage import Container, cpu_text, memory_text, sized
from tidewatt_coordinator.prices.files import load_book
from tidewatt_wire.messages import MaintenanceWindow

NOW_MS = 1_790_812_800_000
QUICK = settings(max_examples=60)


@pytest.mark.parametrize(
    ("pods", "least", "most"),
    [(2, 0, 1), (3, 0, 1), (5, 0.4, 1), (10, 0.7, 0.7), (12, 7 / 12, 0.75), (24, 0.625, 0.75), (0, 0, 1)],
)
def test_the_share_of_so_many_pods(pods: int, least: float, most: float) -> None:
    assert bound(pods, 7, 10) == pytest.approx((least, most))


@QUICK
@given(st.integers(1, 200), st.integers(2, 30), st.data())
def test_every_even_spread_is_within_the_bound(pods: int, domains: int, data: Any) -> None:
    spot = data.draw(st.integers(1, domains - 1))
    more = set(data.draw(st.permutations(range(domains)))[: pods % domains])
    on_spot = sum(pods // domains + (index in more) for index in range(spot))
    least, most = bound(pods, spot, domains)
    assert least - 1e-9 <= on_spot / pods <= most + 1e-9


def test_the_pools_share_the_domains_and_the_fallback_carries_the_spots() -> None:
    pools = {path.rpartition("/")[2]: one["spec"] for path, one in layout(Karpenter(node_class="c")).items()}
    carried = {
        name: {one["key"]: one.get("values") for one in spec["template"]["spec"]["requirements"]}
        for name, spec in pools.items()
    }
    spot, steady, fallback = (carried[f"tidewatt-{kind}"] for kind in ("spot", "on-demand", "fallback"))
    assert (len(spot[DOMAIN]), len(steady[DOMAIN])) == (7, 3)
    assert not set(spot[DOMAIN]) & set(steady[DOMAIN])
    assert fallback[DOMAIN] == spot[DOMAIN]
    assert fallback["karpenter.sh/capacity-type"] == ["on-demand"]
    assert pools["tidewatt-fallback"]["weight"] < pools["tidewatt-spot"]["weight"]


def test_pods_drain_when_they_sleep_longer_than_they_are_sent_to_and_shorter_than_their_grace() -> None:
    def template(sleep_s: int, grace_s: int) -> dict[str, Any]:
        container = {"lifecycle": {"preStop": {"sleep": {"seconds": sleep_s}}}}
        return {"spec": {"containers": [container], "terminationGracePeriodSeconds": grace_s}}

    assert not drains_well(template(20, 40), 15)
    assert drains_well(template(15, 40), 15)
    assert drains_well(template(40, 40), 15)
    assert drains_well({"spec": {"containers": [{}]}}, 15)
    command = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 20"]}}}}
    assert not drains_well({"spec": {"containers": [command]}}, 15)


# Replicas

SHOP = Scaled(workload="a/b", forecast="f", skill="s", per_replica_rps=100)


def ask(now: int, peak: float | None, skill: float | None = 0.5, terms: Scaled = SHOP) -> int | None:
    return wanted(terms, now, peak, skill, NOW_MS, least_skill=0.1, step=0.2).replicas


def test_replicas_follow_the_peak_within_their_clamps() -> None:
    assert ask(4, 500) == 8  # 500 / 70
    assert ask(4, 5000) == 8  # at most twice
    assert ask(16, 5000) == 20  # at most 20
    assert ask(10, 1) == 2
    assert ask(10, 770) is None  # 11 is near enough
    assert ask(10, 840) == 12
    assert ask(1, 1) == 2


@pytest.mark.parametrize("skill", [None, 0.09, -1.0, math.nan])
def test_without_skill_it_is_left_to_the_autoscaler(skill: float | None) -> None:
    assert ask(4, 5000, skill) is None
    assert ask(4, None) is None
    assert ask(4, math.nan) is None


def test_what_is_not_production_sleeps_and_wakes_by_its_hours() -> None:
    at_noon = MaintenanceWindow(start="00:00", minutes=1440)
    never = MaintenanceWindow(start="00:00", minutes=1, days=["mon"])
    test = replace(SHOP, production=False, asleep=[at_noon])
    assert ask(3, 5000, terms=test) == 0
    assert ask(0, 5000, terms=test) is None
    assert ask(0, None, terms=replace(test, asleep=[never])) == 2
    assert ask(3, 5000, terms=replace(test, production=True)) == 6


@QUICK
@given(st.integers(0, 40), st.floats(0, 1e5))
def test_never_outside_its_bounds_nor_more_than_doubled(now: int, peak: float) -> None:
    found = ask(now, peak)
    assert found is None or (2 <= found <= 20 and (found <= 2 * now or found == 2))


# Right-sizing


def test_old_samples_lose_half_their_weight_each_day() -> None:
    old = {NOW_MS - DAY_MS - index: 1.0 for index in range(100)}
    new = {NOW_MS - index: 0.1 for index in range(100)}
    found = percentile(old | new, 0.6, 0.01)  # two thirds of the weight are new
    assert found is not None
    assert 0.1 < found < 0.13
    high = percentile(old | new, 0.9, 0.01)
    assert high is not None
    assert 1.0 < high < 1.1


def test_memory_counts_by_the_peaks_of_days() -> None:
    samples = {NOW_MS - hour * 3_600_000: 1e8 for hour in range(72)}
    samples[NOW_MS - 30 * 3_600_000] = 9e8
    assert sorted(daily_peaks(samples).values()) == [1e8, 1e8, 9e8]


def test_the_floor_is_the_pods_and_is_parted() -> None:
    tiny = target({NOW_MS: 0.001}, {NOW_MS: 1e6}, 2, 0.15)
    assert tiny == Size(cpu=0.0125, memory=125 * 2**20)
    assert target({}, {NOW_MS: 1.0}, 1, 0.15) is None


def test_what_history_would_not_have_borne_is_not_lowered() -> None:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    # Nine of ten samples are small; every tenth is as large as the limit allows.
    cpu = {NOW_MS - index * 300_000: 0.9 if index % 20 == 0 else 0.1 for index in range(2304)}
    one = Container(name="a", resources=resources, cpu=cpu, memory=dict.fromkeys(cpu, 3e8))
    found = sized(one, 1, RightSizing(), [])
    assert found
    assert found.size.cpu == 1.0
    assert "would be throttled" in found.why
    assert found.size.memory < 2**29
    killed = sized(replace(one, killed=True, memory=dict.fromkeys(cpu, 9e8)), 1, RightSizing(), [])
    assert killed
    assert killed.size.memory >= 1.2 * 9e8


def test_a_replay_counts_what_is_above() -> None:
    cpu, memory = {1: 0.1, 2: 0.3}, {1: 1e8, 2: 3e8, 3: 1e8, 4: 1e8}
    found = replay(cpu, memory, Size(cpu=0.1, memory=2e8), 0.2, None)
    assert (found.throttled, found.killed, found.above) == (0.5, 0.25, 0.25)


# Nodes


def test_spot_is_parted_in_nodes_vcpu_and_money() -> None:
    book, day = load_book(), date(2026, 11, 21)
    small = Node(type="c7g.xlarge", capacity="spot", pool="", cpu=4, memory=8e9)
    large = Node(type="c7g.2xlarge", capacity="on-demand", pool="", cpu=8, memory=16e9)
    found = split([small, small, large], book, "us-east-1", day)
    assert found.nodes == pytest.approx(2 / 3)
    assert found.vcpu == pytest.approx(0.5)
    assert found.money == pytest.approx(0.3 * 0.29 / (1.3 * 0.29))
    assert float(found.on_demand_monthly) == pytest.approx(0.58 * 730)
    assert float(pod_month([large], 2, 1e9, book, "us-east-1", day)) == pytest.approx(0.29 * 730 / 4)


def test_the_five_nodes_of_the_notes_cost_what_the_price_list_says() -> None:
    nodes = [Node(type="c7g.2xlarge", capacity="on-demand", pool="", cpu=8, memory=16e9)] * 5
    found = split(nodes, load_book(), "us-east-1", date(2026, 11, 21))
    assert float(found.monthly) == pytest.approx(1058.5)


@QUICK
@given(st.lists(st.tuples(st.floats(0.01, 4), st.floats(0.01, 8)), max_size=30))
def test_packing_is_between_the_bounds(pods: list[tuple[float, float]]) -> None:
    found = packed(pods, (4.0, 8.0))
    needed = max(sum(cpu for cpu, _ in pods) / 4, sum(memory for _, memory in pods) / 8)
    assert math.ceil(needed - 1e-6) <= found <= len(pods)


@pytest.mark.parametrize(
    ("text", "value"), [("250m", 0.25), ("2Gi", 2**31), ("1.5", 1.5), ("1e3", 1000), ("262144k", 262144000)]
)
def test_quantities(text: str, value: float) -> None:
    assert float(quantity(text)) == value


@QUICK
@given(st.integers(1, 10**6))
def test_quantities_are_read_as_written(number: int) -> None:
    assert float(quantity(cpu_text(number / 1000))) == pytest.approx(number / 1000)
    assert float(quantity(memory_text(number * 2**20))) == number * 2**20


def test_a_managers_fields_are_told_from_others() -> None:
    containers = [{"name": "a", "image": "x", "args": ["b"]}, {"name": "b"}]
    fields: dict[str, Any] = {
        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:args": {}}}}
    }
    theirs: dict[str, Any] = {
        "f:spec": {"f:containers": {'k:{"name":"a"}': {"f:image": {}}}, "f:replicas": {}}
    }
    status: dict[str, Any] = {
        "manager": "us",
        "operation": "Apply",
        "subresource": "status",
        "fieldsV1": {"f:status": {}},
    }
    document = {
        "metadata": {
            "managedFields": [
                {"manager": "us", "operation": "Apply", "fieldsV1": fields},
                {"manager": "us", "operation": "Update", "fieldsV1": theirs},
                status,
            ]
        },
        "spec": {"containers": containers, "replicas": 3},
    }
    assert ours(document, "us") == {"spec": {"containers": [{"name": "a", "args": ["b"]}]}}
    assert ours(document, "them") == {}
    assert others(document, "us", ["spec", "replicas"]) == ["us"]
    assert others(document, "us", ["spec", "containers", "[name=a]", "image"]) == ["us"]
    assert others(document, "us", ["spec", "containers", "[name=b]"]) == []
