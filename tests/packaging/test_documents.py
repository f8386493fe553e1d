"""The generated documents hold everything there is, and both metrics pages are clean."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.world import BOARDS

from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.config import Config, Ledger
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Timebase

ROOT = Path(__file__).parents[2]


def test_they_are_what_would_be_generated() -> None:
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "source",
    [
        "agent/tidewatt_agent/metrics.py",
        "agent/tidewatt_agent/linkmetrics.py",
        "coordinator/tidewatt_coordinator/metrics.py",
    ],
)
def test_every_metric_in_the_source_is_documented(source: str) -> None:
    document = (ROOT / "docs/metrics.md").read_text()
    names = set(re.findall(r'"(tidewatt_[a-z0-9_]+)"', (ROOT / source).read_text()))
    assert len(names) > 5
    assert [name for name in sorted(names) if f"`{name}" not in document] == []


def test_every_board_is_listed() -> None:
    document = (ROOT / "docs/boards.md").read_text()
    assert [board for board in BOARDS if f"/{board}/" not in document] == []


def test_promtool_has_nothing_to_say_about_the_coordinator(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: sudo apt install --no-install-recommends prometheus")
    config = Config(ledger=Ledger(url=f"sqlite:///{tmp_path}/l.db"), clock=Timebase(0, 0.0, 1e-9))
    coordinator = Coordinator(config, Connection("mqtt://broker"), None)
    registry = CollectorRegistry()
    registry.register(coordinator.metrics)
    page = generate_latest(registry)
    coordinator.ledger.close()
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
