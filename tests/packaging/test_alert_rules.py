"""The shipped alert rules: right by promtool, each tried and explained, about metrics that there are."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_group

from tidewatt_coordinator.cli import app

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "packaging/prometheus"
TESTS = ("tidewatt.test.yml", "tidewatt.slow.test.yml")
METRIC = re.compile(r"\btidewatt_[a-z0-9_]+\b")
#: What Prometheus adds to a family's name.
SERIES = re.compile(r"_(bucket|sum|count)$")
#: Parts of the product that are merged beside this one.
ELSEWHERE = {"tidewatt_audit_intact"}


def read(name: str) -> Any:
    return YAML(typ="safe").load((SHIPPED / name).read_text("utf-8"))


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("needs promtool: sudo apt install --no-install-recommends prometheus")
    return found


def alerts() -> dict[str, Any]:
    groups = read("tidewatt.rules.yml")["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def documented() -> set[str]:
    """Every metric of docs/metrics.md, which is made from the collectors themselves."""
    return set(
        re.findall(r"^\| `(tidewatt_[a-z0-9_]+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )


def test_promtool_tries_every_alert_quiet_and_firing() -> None:
    files = [str(SHIPPED / name) for name in TESTS]
    done = subprocess.run(
        [promtool(), "test", "rules", *files], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    quiet, firing = set[str](), set[str]()
    for group in (group for name in TESTS for group in read(name)["tests"]):
        for one in group["alert_rule_test"]:
            (firing if one.get("exp_alerts") else quiet).add(one["alertname"])
    assert quiet == firing == set(alerts())


def test_the_scrape_configuration_is_one_and_loads_the_rules() -> None:
    done = subprocess.run(
        [promtool(), "check", "config", "--lint=all", "--lint-fatal", str(SHIPPED / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "42 rules" in done.stdout


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    sections = re.findall(r"^### (.+)$", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)
    assert sections == list(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_rules_are_about_metrics_that_there_are() -> None:
    rules = (SHIPPED / "tidewatt.rules.yml").read_text()
    recorded = set(re.findall(r"record: (\S+)", rules + (SHIPPED / "tidewatt.thresholds.yml").read_text()))
    known = documented() | ELSEWHERE
    for group in read("tidewatt.rules.yml")["groups"]:
        for rule in group["rules"]:
            named = re.findall(r"[a-z]+:tidewatt_[a-z0-9_:]+|tidewatt:threshold:\w+", rule["expr"])
            assert set(named) <= recorded, rule
            plain = rule["expr"]
            for one in named:
                plain = plain.replace(one, "")
            assert set(METRIC.findall(plain)) <= known, rule


def test_what_an_alert_tells_to_type_can_be_typed() -> None:
    groups: Any = get_group(app)
    # A command may stand on two lines.
    text = " ".join((ROOT / "docs/alerts.md").read_text().split())
    for first, second in re.findall(r"`tidewatt ([a-z-]+)(?: ([a-z-]+))?", text):
        if first == "audit" and first not in groups.commands:
            continue  # merged beside this one
        assert first in groups.commands, first
        inner = getattr(groups.commands[first], "commands", None)
        assert inner is None or not second or second in inner, f"tidewatt {first} {second}"
