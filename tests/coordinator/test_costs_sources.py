"""Costs from real HTTP servers: OpenCost, Prometheus, AWS; what is asked, what becomes of the answer."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import httpx
import pytest
from botocore.validate import ParamValidator
from tests.costing import DAY_MS, OCTOBER_MS, Source, a_charge, emptied, source
from tests.ports import free_port
from tests.world import until

from tidewatt_coordinator.costs.charge import Charge, CostError, total
from tidewatt_coordinator.costs.collect import Collector
from tidewatt_coordinator.costs.costexplorer import (
    BILLED,
    DIMENSIONS,
    EFFECTIVE,
    QUANTITY,
    group_definitions,
    request,
)
from tidewatt_coordinator.costs.days import Window, iso
from tidewatt_coordinator.costs.files import write_csv
from tidewatt_coordinator.costs.settings import CostExplorer, Costs, Focus, OpenCost, Prometheus
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger

NOW_MS = OCTOBER_MS + 3 * DAY_MS + 40_000_000  # some time on the fourth of October
DAY = Window(OCTOBER_MS, OCTOBER_MS + DAY_MS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Charges]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield Charges(ledger.engine)
    ledger.close()


@pytest.fixture
def server() -> Iterator[Source]:
    with source() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh_cloud(request: pytest.FixtureRequest) -> None:
    if "cloud" in request.fixturenames:
        emptied(request.getfixturevalue("cloud"))


def everything(store: Charges) -> list[Charge]:
    return list(store.read(0, 10**14))


# OpenCost


def allocation(parameters: dict[str, str], **costs: float) -> dict[str, Any]:
    begin, end = parameters["window"].split(",")
    return {"window": {"start": begin, "end": end}, "properties": {"cluster": "one"}, **costs}


def opencost_answer(parameters: dict[str, str]) -> dict[str, Any]:
    sets = {
        "shop": allocation(
            parameters,
            cpuCost=1.25, cpuCostAdjustment=-0.25, ramCost=0.5, pvCost=0.1, cpuCoreHours=48.0, totalCost=1.6,
        ),
        "__idle__": allocation(parameters, cpuCost=0.4, ramCost=0.1, totalCost=0.75),
    }  # fmt: skip
    return {"code": 200, "data": [sets, None]}


def opencost(server: Source, **more: Any) -> Costs:
    return Costs(opencost=OpenCost(url=server.url, **more))


def test_opencost_is_asked_day_by_day_for_what_is_new(server: Source, store: Charges) -> None:
    server.answers["/allocation"] = opencost_answer
    collector = Collector(opencost(server, first_days=2), store, NOW_MS)
    assert collector.take("opencost", None).batches == 2
    assert [asked["window"] for _, asked in server.asked] == [
        "2026-10-02T00:00:00Z,2026-10-03T00:00:00Z",
        "2026-10-03T00:00:00Z,2026-10-04T00:00:00Z",
    ], "whole days, none of them still going on"
    assert server.asked[0][1]["includeIdle"] == "true"
    assert server.asked[0][1]["aggregate"] == "namespace"
    assert collector.take("opencost", None).charges == 0
    assert len(server.asked) == 2, "there was nothing new"


def test_parts_sum_to_what_opencost_says(server: Source, store: Charges) -> None:
    server.answers["/allocation"] = opencost_answer
    Collector(opencost(server), store, NOW_MS).take("opencost", DAY)
    by_name: dict[str, list[Charge]] = {}
    for charge in everything(store):
        by_name.setdefault(charge.resource, []).append(charge)
    assert {name: total(one.billed for one in mine) for name, mine in by_name.items()} == {
        "shop": Decimal("1.6"),
        "__idle__": Decimal("0.75"),
    }
    cpu = next(charge for charge in by_name["shop"] if charge.description == "cpu")
    assert (cpu.billed, cpu.quantity, cpu.unit) == (Decimal(1), Decimal(48), "vCPU-Hours")
    assert cpu.tags == {"namespace": "shop", "cluster": "one"}
    (rest,) = (charge for charge in by_name["__idle__"] if charge.description == "rest")
    assert rest.billed == Decimal("0.25"), "what no part explains is shown, not dropped"


def test_several_aggregates_are_several_tags(server: Source, store: Charges) -> None:
    server.answers["/allocation"] = lambda parameters: {
        "code": 200,
        "data": [{"shop/web": allocation(parameters, cpuCost=1)}],
    }
    Collector(opencost(server, aggregate=["namespace", "label:app"]), store, NOW_MS).take("opencost", DAY)
    (charge,) = everything(store)
    assert charge.tags == {"namespace": "shop", "label:app": "web", "cluster": "one"}


def test_a_day_asked_again_is_replaced(server: Source, store: Charges) -> None:
    server.answers["/allocation"] = opencost_answer
    Collector(opencost(server), store, NOW_MS).take("opencost", DAY)
    server.answers["/allocation"] = lambda parameters: {
        "code": 200,
        "data": [{"shop": allocation(parameters, cpuCost=3.5)}],
    }
    Collector(opencost(server), store, NOW_MS + 1).take("opencost", DAY)
    (charge,) = everything(store)
    assert charge.billed == Decimal("3.5"), "what OpenCost says no longer is gone"


def test_a_token_is_read_from_its_file(server: Source, store: Charges, tmp_path: Path) -> None:
    server.answers["/allocation"] = opencost_answer
    (tmp_path / "token").write_text("secret\n")
    Collector(opencost(server, token_file=str(tmp_path / "token")), store, NOW_MS).take("opencost", DAY)
    assert server.authorizations == ["Bearer secret"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"<html>", "no answer of OpenCost's /allocation"),
        ({"code": 400, "message": "bad window"}, "answers code 400: bad window"),
        ({"code": 200, "data": [{"a": {"cpuCost": 1}}]}, "'a': has no window"),
        ({"code": 200, "data": [{"a": {"window": {"start": "x", "end": "y"}}}]}, "'x' is no time"),
        (
            {"code": 200, "data": [{"a": {"window": {"start": iso(0), "end": iso(DAY_MS)}, "cpuCost": 1}}]},
            "lies outside the window",
        ),
        (
            {
                "code": 200,
                "data": [
                    {
                        "a": {
                            "window": {"start": iso(DAY.start_ms), "end": iso(DAY.end_ms)},
                            "ramCost": "much",
                        }
                    }
                ],
            },
            "ramCost: '\"much\"' is no number",
        ),
    ],
)
def test_what_opencost_must_not_say(server: Source, store: Charges, answer: object, sentence: str) -> None:
    server.answers["/allocation"] = answer
    with pytest.raises(CostError, match=sentence):
        Collector(opencost(server), store, NOW_MS).take("opencost", DAY)
    assert everything(store) == []


def test_a_source_that_is_down_or_refuses_says_so(server: Source, store: Charges) -> None:
    server.status, server.answers["/allocation"] = 503, b"warming up"
    with pytest.raises(CostError, match="answers 503 Service Unavailable: warming up"):
        Collector(opencost(server), store, NOW_MS).take("opencost", DAY)
    with pytest.raises(CostError, match="Connection refused"):
        Collector(Costs(opencost=OpenCost(url="http://127.0.0.1:9")), store, NOW_MS).take("opencost", DAY)


# Prometheus


def prometheus_answer(parameters: dict[str, str]) -> dict[str, Any]:
    begin = int(parameters["start"])
    whole = [[begin + 60 * minute, "0.29"] for minute in range(120)]
    gone = [[begin + 60 * minute, "NaN" if minute == 7 else "0.6"] for minute in range(31)]
    series = [
        {
            "metric": {"__name__": "node_total_hourly_cost", "node": "a", "region": "us-east-1"},
            "values": whole,
        },
        {"metric": {"__name__": "node_total_hourly_cost", "node": "b"}, "values": gone},
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": series}}


def test_nodes_cost_by_the_minutes_that_they_were_there(server: Source, store: Charges) -> None:
    server.answers["/api/v1/query_range"] = prometheus_answer
    settings = Costs(prometheus=Prometheus(url=server.url))
    Collector(settings, store, NOW_MS).take("prometheus", DAY)
    ((_, asked),) = server.asked
    assert asked == {
        "query": "node_total_hourly_cost",
        "start": str(OCTOBER_MS // 1000),
        "end": str(OCTOBER_MS // 1000 + 86_340),
        "step": "60",
    }
    found = {(one.resource, one.start_ms): one for one in everything(store)}
    assert found["a", OCTOBER_MS].billed == found["a", OCTOBER_MS + 3_600_000].billed == Decimal("0.29")
    assert found["a", OCTOBER_MS].region == "us-east-1"
    short = found["b", OCTOBER_MS]
    assert (short.billed, short.quantity, short.unit) == (Decimal("0.3"), Decimal("0.5"), "Hours")
    assert len(found) == 3, "an hour without a sample is not known to have cost anything"


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that has ninety minutes of one node."""
    program, promtool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or promtool is None:
        pytest.skip("needs Prometheus: sudo apt install --no-install-recommends prometheus")
    begin_s = OCTOBER_MS // 1000
    samples = [f'node_total_hourly_cost{{node="a"}} 0.29 {begin_s + 60 * minute}' for minute in range(90)]
    told = ["# TYPE node_total_hourly_cost gauge", *samples, "# EOF\n"]
    (tmp_path / "samples").write_text("\n".join(told))
    backfill = [
        promtool,
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(tmp_path / "samples"),
        str(tmp_path / "data"),
    ]
    subprocess.run(backfill, check=True, capture_output=True)
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    options = [
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(
        [program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.kill()


async def test_a_real_prometheus(prometheus: str, store: Charges) -> None:
    await until(lambda: answers(f"{prometheus}/-/ready"))
    Collector(Costs(prometheus=Prometheus(url=prometheus)), store, NOW_MS).take("prometheus", DAY)
    first, second = everything(store)
    assert (first.billed, first.resource) == (Decimal("0.29"), "a")
    # Prometheus shows the last sample for five minutes more.
    assert Decimal("0.145") <= second.billed < Decimal("0.17")


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"status": "error", "error": "bad query"}, "node_total_hourly_cost: bad query"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "gives a vector, not series"),
        ([], "no answer of Prometheus"),
    ],
)
def test_what_prometheus_must_not_say(server: Source, store: Charges, answer: object, sentence: str) -> None:
    server.answers["/api/v1/query_range"] = answer
    with pytest.raises(CostError, match=sentence):
        Collector(Costs(prometheus=Prometheus(url=server.url)), store, NOW_MS).take("prometheus", DAY)


# AWS Cost Explorer


def result(day: str, following: str, **by_service: tuple[str, str, str]) -> dict[str, Any]:
    groups = [
        {
            "Keys": [name.replace("_", " "), record],
            "Metrics": {
                "UnblendedCost": {"Amount": billed, "Unit": "USD"},
                "NetAmortizedCost": {"Amount": effective, "Unit": "USD"},
                "UsageQuantity": {"Amount": "7", "Unit": "N/A"},
            },
        }
        for name, (record, billed, effective) in by_service.items()
    ]
    return {
        "TimePeriod": {"Start": day, "End": following},
        "Total": {},
        "Groups": groups,
        "Estimated": False,
    }


def results(cloud: str, *pages: dict[str, Any]) -> None:
    body = {"results": list(pages)}
    httpx.post(f"{cloud}/moto-api/static/ce/cost-and-usage-results", json=body).raise_for_status()


def explorer(cloud: str, **more: Any) -> Costs:
    return Costs(bill="cost_explorer", cost_explorer=CostExplorer(enabled=True, endpoint=cloud, **more))


def test_cost_explorer_over_http(cloud: str, store: Charges) -> None:
    october = result(
        "2026-10-01",
        "2026-10-02",
        AWS_Lambda=("Usage", "12.3456789012", "10.5"),
        Tax=("Tax", "1.05", "1.05"),
        Amazon_CloudFront=("Credit", "-3", "-3"),
        Nothing=("Usage", "0", "0"),
    )
    results(cloud, {"ResultsByTime": [october]})
    taken = Collector(explorer(cloud), store, NOW_MS).take("cost_explorer", DAY)
    assert (taken.charges, taken.batches) == (3, 1)
    found = {charge.service: charge for charge in everything(store)}
    function = found["AWS Lambda"]
    assert (function.billed, function.effective) == (Decimal("12.3456789012"), Decimal("10.5"))
    assert (function.start_ms, function.end_ms) == (DAY.start_ms, DAY.end_ms)
    assert (function.kind, function.category, function.quantity) == ("Usage", "Compute", None)
    assert found["Tax"].kind == "Tax"
    assert (found["Amazon CloudFront"].kind, found["Amazon CloudFront"].billed) == ("Credit", Decimal(-3))
    assert store.calls("cost_explorer", date(2026, 10, 4)) == 1


def test_every_page_is_asked_for_and_counted(cloud: str, store: Charges) -> None:
    one = result("2026-10-01", "2026-10-02", AWS_Lambda=("Usage", "1", "1"))
    two = result("2026-10-01", "2026-10-02", Amazon_CloudFront=("Usage", "2", "2"))
    results(cloud, {"ResultsByTime": [one], "NextPageToken": "more"}, {"ResultsByTime": [two]})
    assert Collector(explorer(cloud), store, NOW_MS).take("cost_explorer", DAY).charges == 2
    assert store.calls("cost_explorer", date(2026, 10, 4)) == 2


def test_no_more_calls_than_are_allowed_a_day(cloud: str, store: Charges) -> None:
    one = result("2026-10-01", "2026-10-02", AWS_Lambda=("Usage", "1", "1"))
    results(cloud, *({"ResultsByTime": [one], "NextPageToken": "more"} for _ in range(9)))
    with pytest.raises(CostError, match=r"asked 3 times today, at \$0.01 each"):
        Collector(explorer(cloud, calls_a_day=3), store, NOW_MS).take("cost_explorer", DAY)
    assert everything(store) == [], "half of an answer is none"
    with pytest.raises(CostError, match="allows no more"):
        Collector(explorer(cloud, calls_a_day=3), store, NOW_MS).take("cost_explorer", DAY)
    assert store.calls("cost_explorer", date(2026, 10, 4)) == 3
    results(cloud, {"ResultsByTime": [one]})
    tomorrow = Collector(explorer(cloud, calls_a_day=3), store, NOW_MS + DAY_MS)
    httpx.post(f"{cloud}/moto-api/reset").raise_for_status()
    results(cloud, {"ResultsByTime": [one]})
    assert tomorrow.take("cost_explorer", DAY).charges == 1


def test_days_that_aws_still_changes_are_asked_for_again(cloud: str, store: Charges) -> None:
    days = ["2026-10-01", "2026-10-02", "2026-10-03", "2026-10-04"]
    for amount in ("1", "2"):
        asked = [result(day, after, AWS_Lambda=("Usage", amount, amount)) for day, after in pairwise(days)]
        results(cloud, {"ResultsByTime": asked})
        collector = Collector(explorer(cloud, settle_days=3), store, NOW_MS + int(amount))
        assert collector.take("cost_explorer", None).charges == 3
    assert [charge.billed for charge in everything(store)] == [Decimal(2)] * 3


@pytest.mark.parametrize("group_by", [["SERVICE"], ["SERVICE", "TAG:team"], ["COST_CATEGORY:unit", "REGION"]])
@pytest.mark.parametrize("token", [None, "more"])
def test_requests_are_what_botocore_s_model_allows(group_by: list[str], token: str | None) -> None:
    model = botocore.session.get_session().get_service_model("ce")
    shape = model.operation_model("GetCostAndUsage").input_shape
    asked = request(DAY, group_by, token)
    assert not ParamValidator().validate(asked, shape).has_errors()
    assert asked["TimePeriod"] == {"Start": "2026-10-01", "End": "2026-10-02"}, "End is exclusive"
    metrics = {re.sub("(?<=[a-z])(?=[A-Z])", "_", metric).upper() for metric in (BILLED, EFFECTIVE, QUANTITY)}
    assert metrics <= set(model.shape_for("Metric").enum)
    assert set(DIMENSIONS) <= set(model.shape_for("Dimension").enum)
    assert {group["Type"] for group in group_definitions(group_by)} <= set(
        model.shape_for("GroupDefinitionType").enum
    )


@pytest.mark.parametrize(
    ("group_by", "sentence"),
    [
        ([], "0 entries"),
        (["SERVICE", "REGION", "AZ"], "3 entries"),
        (["SERVCE"], "'SERVCE' is none of"),
        (["TAG:"], "neither TAG:name"),
    ],
)
def test_what_can_not_be_asked_costs_nothing(
    cloud: str, store: Charges, group_by: list[str], sentence: str
) -> None:
    with pytest.raises(CostError, match=sentence):
        Collector(explorer(cloud, group_by=group_by), store, NOW_MS).take("cost_explorer", DAY)
    assert store.calls("cost_explorer", date(2026, 10, 4)) == 0


def test_tags_of_groups(cloud: str, store: Charges) -> None:
    day = result("2026-10-01", "2026-10-02", AWS_Lambda=("team$infra", "1", "1"), EC2=("team$", "2", "2"))
    results(cloud, {"ResultsByTime": [day]})
    settings = explorer(cloud, group_by=["SERVICE", "TAG:team"])
    Collector(settings, store, NOW_MS).take("cost_explorer", DAY)
    assert {charge.service: charge.tags for charge in everything(store)} == {
        "AWS Lambda": {"team": "infra"},
        "EC2": {},
    }


def test_aws_that_can_not_be_reached_is_one_sentence(store: Charges, cloud: str) -> None:
    settings = explorer("http://127.0.0.1:9")
    with pytest.raises(CostError, match="Cost Explorer: Could not connect"):
        Collector(settings, store, NOW_MS).take("cost_explorer", DAY)
    assert store.calls("cost_explorer", date(2026, 10, 4)) == 3, "each try could have cost a cent"


# FOCUS from S3


def test_focus_files_from_s3(cloud: str, store: Charges, tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=cloud)
    s3.create_bucket(Bucket="exports")
    for number in (1, 2):
        with part.open("w", newline="") as opened:
            write_csv(opened, [a_charge(key=str(number), billed=Decimal(number))], "1.2")
        body = gzip.compress(part.read_bytes())
        s3.put_object(Bucket="exports", Key=f"focus/2026-10/{number}/part.csv.gz", Body=body)
    s3.put_object(Bucket="exports", Key="focus/2026-10/manifest.json", Body=json.dumps({}).encode())
    s3.close()
    settings = Costs(focus=Focus(path="s3://exports/focus/", endpoint=cloud))
    for _ in range(2):
        assert Collector(settings, store, NOW_MS).take("focus", None).charges == 2
    assert sorted(charge.billed for charge in everything(store)) == [Decimal(1), Decimal(2)]
    for place, sentence in (
        ("s3://exports/none/", "holds no file"),
        ("s3://missing/", "NoSuchBucket"),
        ("s3://", "is not s3://bucket/prefix"),
    ):
        with pytest.raises(CostError, match=sentence):
            Collector(settings, store, NOW_MS).take("focus", None, [place])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("opencost", "opencost is not configured"), ("focus", "focus is not configured")],
)
def test_what_is_not_configured_is_not_asked(store: Charges, name: str, sentence: str) -> None:
    with pytest.raises(CostError, match=sentence):
        Collector(Costs(), store, NOW_MS).take(name, DAY)
