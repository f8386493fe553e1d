"""Simulation over REST: bodies in, outcomes out, every refusal a problem with a sentence."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.access import acting

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.simulate.bundled import templates
from tidewatt_coordinator.simulate.rest import router
from tidewatt_coordinator.web.problems import tell_problems

NOW_MS = 1_795_219_200_000
MINUTES = {"rps": [200.0] * 1440 + [300.0] * 1440}


class Client:
    """The routes, asked without a socket."""

    def __init__(self, config: Config) -> None:
        web = tell_problems(FastAPI())
        web.include_router(router(config, lambda: NOW_MS))
        self._transport = httpx.ASGITransport(acting(web))

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://c") as client:
                return await client.request(method, path, json=body)

        return asyncio.run(ask())


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(Config(ledger=LedgerConfig(url=f"sqlite:///{tmp_path / 'l.db'}")))


def test_a_scenario_has_cost_and_promise_before_and_after(client: Client) -> None:
    body = {"template": "price-class-200", "demand": MINUTES}
    answer = client.ask("POST", "/v1/simulate", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["simulated"] is True
    assert found["scenario"] == "price-class-200"
    assert found["saving"]["middle"] == "30.00"
    assert found["demand"] == "what was sent, 2 recorded days"
    assert {"low", "middle", "high"} == set(found["after"]["availability"])


def test_a_batch_answers_in_order(client: Client) -> None:
    body = {
        "scenarios": [{"template": "price-class-200"}, {"name": "fewer", "change": {"more_boards": -9}}],
        "demand": MINUTES,
    }
    first, second = client.ask("POST", "/v1/simulate/batch", body).json()["outcomes"]
    assert first["scenario"] == "price-class-200"
    assert second == {"scenario": "fewer", "error": "week 13 has 5 boards, not 9"}


def test_templates_are_listed(client: Client) -> None:
    listed = client.ask("GET", "/v1/simulate/templates").json()["templates"]
    assert [one["name"] for one in listed] == list(templates())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"template": "spot"}, "there is no template 'spot'; there are: price-class-200"),
        ({"template": "spot-70", "demand": {"query": "up"}}, "no Prometheus is configured"),
        ({"template": "spot-70", "demand": {"ledger": True}}, "no device has two buckets of requests yet"),
        ({"template": "spot-70", "sede": 1}, "unknown field `sede`"),
        ({}, "either a template or a change"),
    ],
)
def test_what_cannot_be_is_a_problem(client: Client, body: object, sentence: str) -> None:
    if isinstance(body, dict) and body.get("template") == "spot":
        body = body | {"demand": MINUTES}
    answer = client.ask("POST", "/v1/simulate", body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert sentence in answer.json()["detail"]
    assert "sqlite" not in answer.json()["detail"]  # where the ledger is, and by which password, is nobody's
