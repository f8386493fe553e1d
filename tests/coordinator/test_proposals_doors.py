"""Proposals through their doors: REST, and the command on a database without a coordinator."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.access import acting
from tests.coordinator.test_drivers import a_recommendation
from tests.costing import DAY_MS, OCTOBER_MS, a_charge, source
from typer.testing import CliRunner

from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.cli import app as command
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.settings import Levers, PowerPolicy
from tidewatt_coordinator.proposals.desk import Desk
from tidewatt_coordinator.proposals.rest import router
from tidewatt_coordinator.proposals.state import Proposal, moved
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.sla.evidence import Evidence
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.ledgered import by_bucket, measuring
from tidewatt_coordinator.sla.objectives import Service, wrong_sla
from tidewatt_coordinator.sla.verdict import Verdict, unpromised
from tidewatt_coordinator.web.problems import tell_problems
from tidewatt_coordinator.web.settings import Rest
from tidewatt_coordinator.web.threshold import Threshold
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Timebase
from tidewatt_wire.messages import Counters, Gauges, Policy, Report, Rule

GAUGES = Gauges(point="15W")
NOW_MS = 1_790_812_800_000
GOOD = Verdict(word="ok", sentence="shop: well within", margin=0.5)
SHOP = Service(
    service="shop", p95_ms=60.0, availability=0.99, queries={"p95_ms": "p95", "availability": "up"}
)


def fill(store: Proposals, count: int = 3, verdict: Verdict | None = GOOD) -> None:
    for number in range(count):
        told = a_recommendation(target=f"t{number}")
        store.make(Proposal(id=f"p{number}", recommendation=told, made_ms=number, verdict=verdict), "test")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield opened
    opened.close()


Answer = httpx.Response


class Client:
    """The routes, asked without a socket."""

    def __init__(self, desk: Desk) -> None:
        web = tell_problems(FastAPI())
        web.add_middleware(Threshold, settings=Rest())
        web.include_router(router(desk))
        self._transport, self.headers = httpx.ASGITransport(acting(web)), dict[str, str]()

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        async def ask() -> Answer:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://c") as client:
                return await client.request(method, path, headers=self.headers | (headers or {}), **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("POST", path, **more)


class Prometheus:
    """Answers range queries: p95 is well, half of `up` is missing."""

    def __call__(self, asked: dict[str, str]) -> Any:
        begin, end = float(asked["start"]), float(asked["end"])
        steps = round((end - begin) / 60) + 1
        part = steps if asked["query"] == "p95" else steps // 2
        values = [[begin + 60 * at, "20"] for at in range(part)]
        return {"status": "success", "data": {"resultType": "matrix", "result": [{"values": values}]}}


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Client]:
    store = Proposals(ledger.engine, "f")
    fill(store)
    with source() as prometheus:
        prometheus.answers["/api/v1/query_range"] = Prometheus()
        judge = Judge([SHOP], Evidence(prometheus.url).measured, lambda: NOW_MS)
        yield Client(Desk(store, Levers(), judge, None, lambda: NOW_MS))


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return str(answer.json()["detail"])


def test_proposals_are_read_by_pages_with_etags(client: Client) -> None:
    first = client.get("/v1/recommendations/shop", params={"limit": 2}).json()
    assert ([one["id"] for one in first["recommendations"]], first["next"]) == (["p0", "p1"], "p1")
    assert first["recommendations"][0]["saving_middle"] == "2"
    assert first["recommendations"][0]["score"] == pytest.approx(20)
    rest = client.get("/v1/recommendations/shop", params={"limit": 2, "after": "p1"})
    assert ([one["id"] for one in rest.json()["recommendations"]], rest.json()["next"]) == (["p2"], None)
    again = client.get(
        "/v1/recommendations/shop",
        params={"limit": 2, "after": "p1"},
        headers={"If-None-Match": rest.headers["etag"]},
    )
    assert (again.status_code, again.content) == (304, b"")
    told = client.post("/v1/recommend", json={"service_id": "shop"}).json()
    assert (told["looking"], len(told["recommendations"])) == (False, 3)
    assert "unknown field" in problem(client.post("/v1/recommend", json={"servcie": 1}), 422)
    assert "did you mean 'karpenter'?" in problem(
        client.post("/v1/recommend", json={"driver": "karpentr"}), 422
    )
    assert client.post("/v1/recommend", json={"driver": "karpenter"}).json()["looking"] is False
    assert client.get("/v1/recommendations/shop", params={"stage": "opened"}).status_code == 422


def test_an_order_is_done_once_and_says_who_gave_it(client: Client) -> None:
    apply, body = "/v1/config/apply", {"service_id": "shop", "recommendation_id": "p0"}
    assert "'cart' has no" in problem(client.post(apply, json=body | {"service_id": "cart"}), 404)
    problem(client.post(apply, json=body | {"recommendation_id": "x"}), 404)
    assert '"1" now' in problem(client.post(apply, json=body, headers={"If-Match": '"7"'}), 412)
    once = {"If-Match": '"1"', "Idempotency-Key": "a"}
    done = client.post(apply, json=body, headers=once)
    assert (done.status_code, done.json()["stage"], done.headers["etag"]) == (202, "approved", '"2"')
    again = client.post(apply, json=body, headers=once)
    assert (again.status_code, again.json(), again.headers["etag"]) == (202, done.json(), '"2"')
    assert "another request" in problem(
        client.post(apply, json=body | {"recommendation_id": "p1"}, headers=once), 422
    )
    assert "approved already" in problem(client.post(apply, json=body), 409)
    back = client.post("/v1/config/rollback/shop/p0")
    assert (back.status_code, back.json()["stage"]) == (202, "open")
    events = client.get("/v1/config/history/shop", params={"limit": 2}).json()
    assert [(one["id"], one["stage"]) for one in events["events"]] == [("p0", "open"), ("p0", "approved")]
    assert [one["author"] for one in events["events"]] == ["key test", "key test"]
    assert events["next"] == 2


def test_what_is_final_needs_the_word_over_rest_and_has_no_way_back(client: Client, ledger: Ledger) -> None:
    store = Proposals(ledger.engine, "f")
    told = a_recommendation(target="vol-1", final="make it of its copy")
    store.make(Proposal(id="q0", recommendation=told, made_ms=9, verdict=GOOD), "test")
    client.headers["Authorization"] = "Bearer secret"
    apply, body = "/v1/config/apply", {"service_id": "shop", "recommendation_id": "q0"}
    assert "`final` true" in problem(client.post(apply, json=body), 409)
    assert "bool" in problem(client.post(apply, json=body | {"final": "yes"}), 422)
    done = client.post(apply, json=body | {"final": True})
    assert (done.status_code, done.json()["stage"]) == (202, "approved")
    assert done.json()["final"] == "make it of its copy"
    kept = store.get("q0")
    store.write(kept, moved(kept.proposal, "kept", "kept", 10), "test", 10)
    back = client.post("/v1/config/rollback/shop/q0")
    assert "q0 is final: make it of its copy" in problem(back, 409)


def test_what_a_service_promises_and_keeps(client: Client) -> None:
    assert [one["service"] for one in client.get("/v1/metrics/services").json()["services"]] == ["shop"]
    health = client.get("/v1/metrics/shop/health").json()
    assert health["word"] == "unknown"
    assert "availability was measured in 30 of 60 steps" in health["sentence"]
    assert {one["metric"]: one["word"] for one in health["judged"]} == {
        "availability": "unknown",
        "p95_ms": "ok",
    }
    asked = {"service_id": "shop", "metrics": ["p95_ms"], "limit": 2}
    series = client.post("/v1/metrics/query", json=asked).json()["series"]
    assert series == {"p95_ms": [[NOW_MS - 60_000, 20.0], [NOW_MS, 20.0]]}
    assert "services are: shop" in problem(client.get("/v1/metrics/cart/health"), 404)


def test_the_command(ledger: Ledger, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[coordinator]\nfleet = "f"\n[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n')

    def tidewatt(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(command, [*words, "--config", str(config)])
        assert done.exit_code == code, done.output
        return done.output

    assert tidewatt("recommend", "ls") == "nothing is proposed\n"
    fill(Proposals(ledger.engine, "f"), 1)
    assert "2.00 (1.00 to 3.00) USD" in tidewatt("recommend", "ls")
    assert "promise: ok: shop: well within" in tidewatt("recommend", "show", "p0")
    assert "dry run: it will not be applied until" in tidewatt("recommend", "approve", "p0", "--by", "ann")
    assert "approved already: approved by ann" in tidewatt("recommend", "apply", "p", code=3)
    assert "p0  open" in tidewatt("recommend", "rollback", "p0", "--by", "ann")
    assert "nothing is applied until" in tidewatt("freeze", "--why", "launch", "--by", "ann")
    assert tidewatt("recommend", "ls").startswith("everything is frozen by ann since ")
    assert tidewatt("unfreeze") == "changes go on\n"
    assert "nothing is frozen" in tidewatt("unfreeze", code=3)
    assert "rejected by ann: no" in tidewatt("recommend", "reject", "p0", "--by", "ann", "--why", "no")
    assert [line.split()[3] for line in tidewatt("recommend", "history", "p0").splitlines()] == [
        "rejected", "open", "approved", "open",
    ]  # fmt: skip


def test_what_is_final_is_said_to_be_so(ledger: Ledger, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[coordinator]\nfleet = "f"\n[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n')
    told = a_recommendation(final="make it of its copy")
    Proposals(ledger.engine, "f").make(
        Proposal(id="p0", recommendation=told, made_ms=0, verdict=GOOD), "test"
    )
    for words, code, said in (
        (["show", "p0"], 0, "final, there is no rollback: make it of its copy"),
        (["apply", "p0"], 3, "say so with --final"),
        (["approve", "p0", "--final", "--by", "ann"], 0, "approved by ann"),
    ):
        done = CliRunner().invoke(command, ["recommend", *words, "--config", str(config)])
        assert (done.exit_code, said in done.output) == (code, True), done.output


def _on_its_way(coordinator: Coordinator) -> list[Rule] | None:
    live = coordinator.engine.standing.live
    return live.new.rules if live else None


def test_the_running_coordinator_proposes_and_rolls_out_its_own_policy(tmp_path: Path) -> None:
    coordinator = Coordinator(
        Config(
            ledger=LedgerConfig(url=f"sqlite:///{tmp_path / 'l.db'}"),
            clock=Timebase(OCTOBER_MS + 3 * DAY_MS, 0.0, 1e-9),
            policy=[Rule(policy=Policy(mode="MAXN"))],
            levers=Levers(power_policy=PowerPolicy(enabled=True, dry_run=False)),
        ),
        Connection("mqtt://127.0.0.1:1"),
        None,
    )
    try:
        levers = coordinator.money.levers
        days = [
            a_charge(
                key=str(day), start_ms=day, end_ms=day + DAY_MS, service=ELECTRICITY, billed=Decimal(100)
            )
            for day in (OCTOBER_MS - DAY_MS, OCTOBER_MS)  # the second isn't told to its end yet
        ]
        Charges(coordinator.ledger.engine).put(days, 0)
        levers.tick()
        (kept,) = levers.store.of(["open"])
        told = kept.proposal.recommendation
        assert [told.saving.low, told.saving.high, told.spending] == [Decimal(8), Decimal(31), Decimal(100)]
        assert kept.proposal.verdict == unpromised("edge")
        levers.desk.approve(kept.proposal.id, "me", without_verdict=True)
        levers.tick()
        coordinator.engine.tick()
        assert coordinator.engine.current().rollout is None  # no wave is reached yet
        assert _on_its_way(coordinator) == [Rule()]
        levers.tick()
        assert levers.store.get(kept.proposal.id).proposal.reason == "stands; waits until it has settled"
        levers.desk.roll_back(kept.proposal.id, "me", "")
        for _ in range(2):
            levers.tick()
        coordinator.engine.tick()
        assert _on_its_way(coordinator) is None
        assert coordinator.engine.current().rules[0].policy.mode == "MAXN"
        assert levers.store.get(kept.proposal.id).proposal.stage == "rolled_back"
        shown = {one.name for one in levers.collect() if one.samples}
        assert {"tidewatt_driver_calls", "tidewatt_levers_frozen", "tidewatt_driver_failing"} <= shown
    finally:
        coordinator.ledger.close()


def test_the_ledger_measures_the_edge(ledger: Ledger) -> None:
    def report(minute: int, device: str) -> Report:
        broken_ms = 6_000 * minute if device == "slow" else 0
        counters = Counters(requests=1200 * minute, violating_ms=broken_ms, energy_mj=minute)
        at_ms = NOW_MS - 3_600_000 + 60_000 * minute
        return Report(
            device=device, session="s", epoch="e", seq=minute, at_ms=at_ms, counters=counters, gauges=GAUGES
        )

    ledger.take([report(minute, device) for minute in range(60) for device in ("slow", "fast")])
    service = Service(service="edge", promise=0.96, throughput_rps=30.0, ledger=True)
    measure = measuring(Evidence(""), ledger.engine, ledger.bucket_ms)
    verdict = Judge(by_bucket([service], ledger.bucket_ms), measure, lambda: NOW_MS).verdict("edge", {})
    assert {one.metric: one.word for one in verdict.judged} == {"promise": "violates", "throughput_rps": "ok"}
    assert [one.value for one in verdict.judged] == pytest.approx([40.0, 0.95])
    assert verdict.sentence == "edge: promise 0.95, promised is at least 0.96, over 12 steps"
    assert "ledger = true" in next(iter(wrong_sla([Service(service="edge", promise=0.9)])))
