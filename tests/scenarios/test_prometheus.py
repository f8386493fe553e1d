"""A real Prometheus finds a real agent by the coordinator's word, and is asked all that dashboards ask."""

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML
from tests.actuators import wait_for
from tests.fleets import Fleet
from tests.packaging.test_alert_rules import ELSEWHERE, METRIC, SERIES, SHIPPED, documented
from tests.ports import free_port
from tests.watchers import FLEET

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "packaging/grafana/dashboards").glob("*.json"))
#: What Grafana puts in, with the one device picked.
VALUES = {"$__rate_interval": "10s", "$fleet": ".*", "$site": ".*", "$device": "d1", "$instance": ".*"}
VALUES |= {"$currency": "USD"}


class Application(http.server.BaseHTTPRequestHandler):
    """Serves a hundred requests a second, by its own count."""

    def do_GET(self) -> None:
        served = int(time.monotonic() * 100)
        lines = [f"akidb_requests_total {served}", f'akidb_request_seconds_bucket{{le="0.05"}} {served}']
        lines += [
            f'akidb_request_seconds_bucket{{le="+Inf"}} {served}',
            f"akidb_request_seconds_count {served}",
        ]
        lines += [f"akidb_request_seconds_sum {served * 0.02}"]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\n".join([*lines, ""]).encode())

    def log_message(self, *_rest: object) -> None:
        pass


@pytest.fixture
def application() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


class Prometheus:
    """Asked over its API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"{self._url}{path}", params=query, timeout=10.0)
        assert answer.status_code == httpx.codes.OK, f"{query}: {answer.text}"
        return answer.json()["data"]

    def query(self, text: str) -> list[Any]:
        found: list[Any] = self.get("/api/v1/query", query=text)["result"]
        return found

    def is_up(self) -> bool:
        try:
            return bool(self.query('up{job="tidewatt-agents"} == 1') and self.query("count(up == 1) == 2"))
        except (httpx.HTTPError, AssertionError):
            return False


@pytest.fixture
def prometheus(fleet: Fleet, tmp_path: Path) -> Iterator[Prometheus]:
    """With the shipped configuration, but for the addresses and the pace."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs Prometheus: sudo apt install --no-install-recommends prometheus")
    yaml, port, coordinator = YAML(typ="safe"), free_port(), f"127.0.0.1:{fleet.port('east')}"
    config = yaml.load((SHIPPED / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    config["rule_files"] = [str(SHIPPED / name) for name in config["rule_files"]]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    jobs["tidewatt-coordinator"]["static_configs"][0]["targets"] = [coordinator]
    found = jobs["tidewatt-agents"]["http_sd_configs"][0]
    found |= {"url": found["url"].replace("coordinator:8080", coordinator), "refresh_interval": "1s"}
    config["scrape_configs"] = [job for name, job in jobs.items() if name != "tidewatt-router"]
    file = tmp_path / "prometheus.yml"
    yaml.dump(config, file)
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    command += [
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        "--no-storage.tsdb.wal-compression",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        yield Prometheus(port)
    finally:
        process.kill()
        process.wait()


def expressions() -> Iterator[tuple[str, str]]:
    """Every query, by where it stands; of the variables, the metric whose labels they list."""
    for file in DASHBOARDS:
        page = json.loads(file.read_text())
        for panel in page["panels"]:
            for target in panel["targets"]:
                yield f"{page['title']}: {panel['title']}", target["expr"]
        for variable in page["templating"]["list"]:
            if variable["type"] == "query":
                metric = variable["query"].removeprefix("label_values(").rpartition(",")[0]
                yield f"{page['title']}: ${variable['name']}", metric


def filled(expression: str) -> str:
    for name, value in VALUES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def test_dashboards_name_only_metrics_that_there_are() -> None:
    assert len(DASHBOARDS) == 4
    known = documented() | ELSEWHERE
    for where, expression in expressions():
        for name in METRIC.findall(expression):
            assert name in known or SERIES.sub("", name) in known, (where, name)


def test_every_query_has_an_answer_where_its_metrics_are(
    fleet: Fleet, prometheus: Prometheus, application: str
) -> None:
    fleet.coordinator()
    fleet.until_up("east")
    fleet.agent("d1", load=application)
    wait_for(prometheus.is_up, "coordinator and agent to be scraped")
    (agent,) = prometheus.query('up{job="tidewatt-agents"}')
    assert {"fleet": FLEET, "device": "d1", "board": "orin-nano-super"}.items() <= agent["metric"].items()
    fleet.get("east", "/v1/fleet")
    wait_for(
        lambda: prometheus.query("tidewatt_requests_per_second > 0 and tidewatt_latency_p95_seconds > 0"),
        "the load to be seen",
    )
    wait_for(
        lambda: prometheus.query("count_over_time(tidewatt_requests_per_second[10s]) >= 4"),
        "some scrapes of it",
    )
    there = set(prometheus.get("/api/v1/label/__name__/values"))
    answered = 0
    for where, expression in expressions():
        found = prometheus.query(filled(expression))
        named = set(re.findall(r"\b(?:tidewatt|process)_[a-z0-9_]+\b", expression))
        if named <= there and "USD" not in filled(expression):
            assert found, f"{where}: {expression} has no answer, and its metrics are there"
        answered += bool(found)
    assert answered >= 50, f"{answered} queries have an answer"
    groups = prometheus.get("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["lastError"] for rule in rules if rule["health"] == "err"] == []
    assert len(rules) == 52
    assert prometheus.query("site:tidewatt_request_joules:rate5m") is not None
