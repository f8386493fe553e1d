"""Budgets kept in AWS: asked for over HTTP, kept by month, shown beside the ledger and our own."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import httpx
import pytest
from botocore.validate import ParamValidator
from fastapi import FastAPI
from tests.access import acting
from tests.costing import DAY_MS, OCTOBER_MS, a_charge
from typer.testing import CliRunner

from tidewatt_coordinator.budgets.looking import Budgets, look
from tidewatt_coordinator.budgets.rest import router
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config, parse_config
from tidewatt_coordinator.costs.awsbudgets import COUNTED, CloudBudget, budgets, page, request
from tidewatt_coordinator.costs.budget_store import CloudBudgets
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.collect import Collector, configured
from tidewatt_coordinator.costs.settings import AwsBudgets, Costs
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.reports.figures import rows
from tidewatt_coordinator.reports.gather import gather
from tidewatt_coordinator.reports.pages import document

ACCOUNT = "123456789012"
#: Noon on the twentieth of October.
NOW_MS = OCTOBER_MS + 19 * DAY_MS + DAY_MS // 2
runner = CliRunner()


def usd(amount: str) -> dict[str, str]:
    return {"Amount": amount, "Unit": "USD"}


def a_budget(name: str, limit: str = "1000", actual: str = "190", **more: Any) -> dict[str, Any]:
    begun = datetime(2026, 1, 1, tzinfo=timezone.utc)
    known: dict[str, Any] = {
        "BudgetName": name,
        "BudgetLimit": usd(limit),
        "TimeUnit": "MONTHLY",
        "TimePeriod": {"Start": begun, "End": datetime(2087, 6, 15, tzinfo=timezone.utc)},
        "BudgetType": "COST",
        "CalculatedSpend": {"ActualSpend": usd(actual), "ForecastedSpend": usd("310")},
    }
    return known | more


def told(**more: Any) -> CloudBudget:
    answer = {"Budgets": [a_budget("b", **more)]}
    (found,) = budgets(page(answer, "here"), ACCOUNT, NOW_MS, "here")
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield ledger
    ledger.close()


def days(ledger: Ledger, until: int, service: str = "AWS Lambda", amount: int = 10, **more: Any) -> None:
    """So much a day from the first of October on."""
    charges = [
        a_charge(
            key=f"{service}{number}", service=service, billed=Decimal(amount),
            start_ms=OCTOBER_MS + number * DAY_MS, end_ms=OCTOBER_MS + (number + 1) * DAY_MS, **more,
        )
        for number in range(until)
    ]  # fmt: skip
    Charges(ledger.engine).put(charges, NOW_MS)


def config_of(url: str, text: str = "") -> Config:
    section = f"[costs.aws_budgets]\nenabled = true\nendpoint = '{url}'\n"
    return parse_config(section + text, name="c.toml")


def test_budgets_over_http_beside_the_ledger_and_our_own(cloud: str, ledger: Ledger) -> None:
    client = boto3.client("budgets", region_name="us-east-1", endpoint_url=cloud)
    for one in (
        a_budget("everything", actual="190.004"),
        a_budget("lambda", "500", "300", CostFilters={"Service": ["AWS Lambda"]}),
        a_budget("hours", BudgetType="USAGE", BudgetLimit={"Amount": "10", "Unit": "Hrs"}),
    ):
        client.create_budget(AccountId=ACCOUNT, Budget=one)
    ours = "name='functions'\namount='450'\nservice='AWS Lambda'\ncost='billed'"
    config = config_of(cloud, f"[[budgets]]\n{ours}")
    days(ledger, 19)
    collector = Collector(config.costs, Charges(ledger.engine), NOW_MS)
    taken = collector.take("aws_budgets", None)
    assert (taken.charges, taken.things) == (2, "budgets"), "hours are no money"
    every, function = look(ledger, config, NOW_MS).aws
    assert (every.told.account, every.told.month, every.told.limit) == (ACCOUNT, "2026-10", Decimal(1000))
    assert every.ledger
    assert (every.ledger.spent, every.difference) == (Decimal(190), Decimal("0.004"))
    assert every.sentences == [], "a fraction of a cent is no news"
    assert (function.ours, function.our_amount, function.percent) == ("functions", Decimal(450), Decimal(60))
    assert function.sentences == [
        "lambda: its limit is 500.00 USD, that of our budget functions 450.00",
        "lambda: AWS says 300.00 USD is spent, the bill 190.00",
    ]
    client.delete_budget(AccountId=ACCOUNT, BudgetName="everything")
    collector.take("aws_budgets", None)
    assert [one.told.name for one in look(ledger, config, NOW_MS).aws] == ["lambda"], "what is gone, is gone"
    client.delete_budget(AccountId=ACCOUNT, BudgetName="lambda")
    client.close()
    assert Collector(config.costs, Charges(ledger.engine), NOW_MS).take("aws_budgets", None).charges == 0


@contextmanager
def pages(answers: list[dict[str, Any]], asked: list[dict[str, Any]]) -> Iterator[str]:
    """An AWS Budgets that has more pages than one, which moto's has not."""

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(answers[len(asked) - 1]).encode()
            self.send_response(400 if "__type" in answers[len(asked) - 1] else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_every_page_is_asked_for_and_half_an_answer_is_none(cloud: str, ledger: Ledger) -> None:
    assert cloud, "whose credentials these are"
    period = {"Start": 1_700_000_000, "End": 3_706_473_600}
    some = [{"Budgets": [a_budget(name, TimePeriod=period)]} for name in ("one", "two")]
    asked: list[dict[str, Any]] = []
    refused: dict[str, Any] = {
        "__type": "AccessDeniedException",
        "Message": "not allowed to budgets:ViewBudget",
    }
    answers: list[dict[str, Any]] = [
        some[0] | {"NextToken": "more"},
        some[1],
        some[0] | {"NextToken": "x"},
        refused,
    ]
    with pages(answers, asked) as url:
        settings = Costs(aws_budgets=AwsBudgets(enabled=True, endpoint=url, account=ACCOUNT))
        collector = Collector(settings, Charges(ledger.engine), NOW_MS)
        assert collector.take("aws_budgets", None).charges == 2
        with pytest.raises(CostError, match=r"AWS Budgets: .*not allowed to budgets:ViewBudget"):
            collector.take("aws_budgets", None)
    assert [one.get("NextToken") for one in asked] == [None, "more", None, "x"]
    assert {one["AccountId"] for one in asked} == {ACCOUNT}
    assert [one.name for one in CloudBudgets(ledger.engine).of("2026-10")] == ["one", "two"]


@pytest.mark.parametrize("token", [None, "more"])
def test_requests_and_answers_are_those_of_botocore_s_model(token: str | None) -> None:
    model = botocore.session.get_session().get_service_model("budgets")
    operation = model.operation_model("DescribeBudgets")
    assert not ParamValidator().validate(request(ACCOUNT, token), operation.input_shape).has_errors()
    shape = operation.output_shape.members["Budgets"].member
    known = a_budget(
        "all", PlannedBudgetLimits={"1": usd("1")}, CostFilters={"Service": ["x"]},
        CostTypes=dict.fromkeys([*COUNTED, "UseBlended", "UseAmortized"], True), Metrics=["BlendedCost"],
        FilterExpression={"Dimensions": {"Key": "SERVICE", "Values": ["x"]}},
        BillingViewArn=f"arn:aws:billing::{ACCOUNT}:billingview/primary",
    )  # fmt: skip
    assert not ParamValidator().validate(known, shape).has_errors()
    assert set(known) <= set(shape.members)
    assert set(shape.members["CostTypes"].members) == {*COUNTED, "UseBlended", "UseAmortized"}


def test_scopes_that_the_ledger_knows() -> None:
    assert told().beyond == ""
    assert told().cost == "billed"
    assert told(CostTypes={"UseAmortized": True}).cost == "effective"
    assert told(Metrics=["NetAmortizedCost"]).cost == "effective"
    assert told(CostFilters={"TagKeyValue": ["user:team$vision"]}).tags == {"team": "vision"}
    by_service = {"Dimensions": {"Key": "SERVICE", "Values": ["a", "b"], "MatchOptions": ["EQUALS"]}}
    assert told(FilterExpression=by_service).services == ["a", "b"]
    assert told(FilterExpression={"Tags": {"Key": "team", "Values": ["a"]}}).tags == {"team": "a"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"CostFilters": {"LinkedAccount": ["1"]}}, "it filters by LinkedAccount: 1"),
        ({"CostFilters": {"TagKeyValue": ["team$a", "team$b"]}}, "it filters by TagKeyValue: team$a, team$b"),
        ({"FilterExpression": {"Not": {"Dimensions": {}}}}, "it filters by an expression"),
        (
            {"CostTypes": {"IncludeCredit": False, "UseBlended": True}},
            "it counts blended costs and leaves out: Credit",
        ),
        ({"BillingViewArn": "arn:aws:billing::1:billingview/custom-2"}, "it is of a billing view of its own"),
        ({"TimeUnit": "QUARTERLY"}, "it is not of a month (quarterly)"),
    ],
)
def test_scopes_that_it_does_not(more: dict[str, Any], sentence: str, ledger: Ledger) -> None:
    one = told(**more)
    assert one.beyond == sentence
    CloudBudgets(ledger.engine).replace(ACCOUNT, "2026-10", [one])
    (found,) = look(ledger, Config(), NOW_MS).aws
    assert found.ledger is None
    assert found.sentences == [f"b: the ledger can't be compared: {sentence}"]


def test_limits_that_are_planned_and_spans_that_are_over() -> None:
    def limit(**more: Any) -> Decimal | None:
        return budgets(page({"Budgets": [plain | more]}, "here"), ACCOUNT, NOW_MS, "here")[0].limit

    plain = a_budget("b")
    del plain["BudgetLimit"]
    months = {str(OCTOBER_MS // 1000 + 30 * 86_400 * at): usd(str(100 + at)) for at in (-1, 0, 1)}
    assert limit(PlannedBudgetLimits=months) == 100, "the last that has begun"
    assert limit(PlannedBudgetLimits={"9999999999": usd("1")}) is None, "missing is not zero"
    assert limit() is None
    over = a_budget("b", TimePeriod={"End": datetime(2026, 10, 1, tzinfo=timezone.utc)})
    assert budgets(page({"Budgets": [over]}, "here"), ACCOUNT, NOW_MS, "here") == []


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        ({"Budgets": "none"}, "no answer of DescribeBudgets"),
        ({"Budgets": [a_budget("b", "much")]}, "budget 'b': 'much' is no number"),
        ({"Budgets": [a_budget("b", BudgetLimit={"Amount": "1", "Unit": "EUR"})]}, "speaks of EUR and USD"),
        ({"Budgets": [a_budget("b", TimeUnit="WEEKLY")]}, "its period 'WEEKLY' is not known"),
    ],
)
def test_what_aws_must_not_say(one: object, sentence: str) -> None:
    with pytest.raises(CostError, match=sentence):
        budgets(page(one, "here"), ACCOUNT, NOW_MS, "here")


def test_several_services_are_one_scope_and_the_edge_is_none_of_the_bill(ledger: Ledger) -> None:
    days(ledger, 19)
    days(ledger, 19, "Amazon S3", 5)
    days(ledger, 19, "Edge Electricity", 7, source="edge")
    both = told(CostFilters={"Service": ["AWS Lambda", "Amazon S3"]})
    CloudBudgets(ledger.engine).replace(ACCOUNT, "2026-10", [both, told_as("all")])
    every, some = sorted(look(ledger, Config(), NOW_MS).aws, key=lambda one: one.told.name)
    assert every.ledger
    assert some.ledger
    assert every.ledger.spent == some.ledger.spent == 19 * 15


def told_as(name: str) -> CloudBudget:
    (found,) = budgets(page({"Budgets": [a_budget(name)]}, "here"), ACCOUNT, NOW_MS, "here")
    return found


def test_rest_and_report_show_both(ledger: Ledger) -> None:
    days(ledger, 31)
    config = parse_config("[[budgets]]\nname='b'\namount='900'", name="c.toml")
    CloudBudgets(ledger.engine).replace(ACCOUNT, "2026-10", [told(actual="305.00")])

    async def ask() -> httpx.Response:
        web = FastAPI()
        web.include_router(router(ledger, config, lambda: NOW_MS))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(acting(web)), base_url="http://x"
        ) as client:
            return await client.get("/v1/budgets")

    answer = asyncio.run(ask()).json()
    assert answer["budgets"][0]["budget"]["name"] == "b"
    assert answer["aws"][0]["told"]["limit"] == "1000"
    assert answer["aws"][0]["sentences"][0].startswith("b: its limit is 1,000.00 USD, that of our budget b")
    november = gather(ledger, config, date(2026, 11, 1), NOW_MS + 20 * DAY_MS)
    assert november.cloud_budgets == []
    october = gather(ledger, config, date(2026, 10, 1), NOW_MS + 20 * DAY_MS)
    (section,) = [one for one in document(october).sections if one.title == "Budgets"]
    assert section.tables[1].rows == [
        ["b", "monthly", "1,000.00 USD", "305.00", "30.5 %", "310.00", "310.00"]
    ], "of a month that is over, what AWS told last in it"
    assert ("aws_budget", f"{ACCOUNT} / b", "USD", "by_the_bill", "310") in list(rows(october))


def test_the_command(tmp_path: Path, ledger: Ledger) -> None:
    file = tmp_path / "c.toml"
    clock = f"[clock]\norigin_unix_ms = {NOW_MS}\norigin_monotonic_s = 0.0\nspeed = 1e-9\n"
    database = f"[ledger]\nurl = 'sqlite:///{tmp_path / 'l.db'}'\n{clock}"
    file.write_text(database)

    def said(*words: str) -> str:
        found = runner.invoke(app, ["budget", *words, "--config", str(file)])
        assert found.exit_code == 0, found.output
        return found.output

    for command in ("ls", "status"):
        assert "there is no budget: see [[budgets]]" in said(command)
    assert "AWS isn't asked: see [costs.aws_budgets]" in said("aws")
    file.write_text(f"{database}[costs.aws_budgets]\nenabled = true\n")
    assert "`tidewatt costs import aws_budgets` asks it" in said("aws")
    CloudBudgets(ledger.engine).replace(ACCOUNT, "2026-10", [told()])
    assert "budget of AWS" in said("status")
    assert "b: the ledger has no bill of this month to compare with" in said("aws")
    assert json.loads(said("aws", "--json"))[0]["told"]["name"] == "b"


def test_it_is_asked_when_it_is_configured() -> None:
    assert configured(Costs(aws_budgets=AwsBudgets(enabled=True))) == ["aws_budgets"]
    assert Budgets(budgets=[], aws=[]).aws == []
