"""The generated documents hold everything there is, and both metrics pages are clean."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.world import BOARDS

from tidewatt_agent.config import Config as AgentConfig
from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.config import Config, Ledger
from tidewatt_link.connection import Connection
from tidewatt_router.config import Config as RouterConfig
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import to_toml

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


@pytest.mark.parametrize(
    "config", [AgentConfig(), Config(), RouterConfig()], ids=["agent", "serve", "router"]
)
def test_every_key_is_told(config: msgspec.Struct) -> None:
    page = (ROOT / "docs/config.md").read_text("utf-8")
    for line in to_toml(config).splitlines():
        name = line.strip("[]").rpartition(".")[2] if line.startswith("[") else line.partition(" = ")[0]
        assert not line or f"| `{name}` |" in page or f"{name}]" in page or f"{name} = " in page, line


def test_every_shipped_file_of_data_is_listed_with_its_licence() -> None:
    page = (ROOT / "docs/prices.md").read_text("utf-8")
    for wheel in ("coordinator", "governor", "agent"):
        for path in (ROOT / wheel / f"tidewatt_{wheel}" / "data").rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                assert f"(../{path.relative_to(ROOT)}) | " in page, path


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
