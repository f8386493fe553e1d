"""The whole agent, as a process, on every recorded board: it comes up, measures, and shows what it sees."""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ports import free_port
from tests.world import BOARDS, laid_out

from tidewatt_agent.power import total_watts
from tidewatt_agent.sysfs.rails import find_rails, read_rails
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.documents import to_toml

TIMEOUT_S = 30
Page = dict[str, dict[tuple[str, ...], float]]


class Agent:
    """An agent that observes the board below `root`."""

    def __init__(self, folder: Path, root: Path, **sections: dict[str, Any]) -> None:
        self.port = free_port()
        self.folder = folder
        document: dict[str, Any] = {
            "agent": {"device": "b1", "tick_s": 0.05},
            "reader": {"root": str(root), "interval_s": 0.05},
            "tegrastats": {"command": ["no-such-program"]},
            "metrics": {"listen": f"127.0.0.1:{self.port}"},
            "state": {"folder": str(folder), "every_s": 0.1},
            **sections,
        }
        config = folder / "agent.toml"
        config.write_text(to_toml(document))
        with (folder / "agent.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidewatt_agent", "run", "--config", str(config)], stderr=log
            )

    def text(self) -> str:
        """Its metrics page, empty until it is up."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                found: str = answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return ""
        return found

    def page(self, name: str, least: float = 0.0) -> Page:
        """The page once it holds a sample called `name` above `least`."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            shown = self._parsed()
            if any(value > least for value in shown.get(name, {}).values()):
                return shown
            time.sleep(0.02)
        pytest.fail(f"no {name} above {least} in {TIMEOUT_S} s: {self.log()}")

    def _parsed(self) -> Page:
        shown: Page = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                shown.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return shown

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def let_a_second_pass(stat: Path) -> None:
    """Every core idles for a hundred ticks more."""
    lines = [line.split() for line in stat.read_text().splitlines()]
    for columns in lines:
        if columns[0].startswith("cpu"):
            columns[4] = str(int(columns[4]) + 100)
    new = stat.with_name("stat.new")
    new.write_text("\n".join(" ".join(columns) for columns in lines) + "\n")
    new.replace(stat)


@pytest.fixture
def agents() -> Iterator[list[Agent]]:
    started: list[Agent] = []
    yield started
    for agent in started:
        agent.process.kill()
        agent.process.wait()


@pytest.mark.parametrize("board", BOARDS)
def test_the_agent_comes_up_on_it(board: str, tmp_path: Path, agents: list[Agent]) -> None:
    root = tmp_path / "root"
    with laid_out(board, root) as found:
        tree = Tree(str(root))
        power = total_watts(read_rails(tree, find_rails(tree)))
        assert power.watts is not None
        agent = Agent(tmp_path, root)
        agents.append(agent)
        page = agent.page("tidewatt_energy_joules_total")
        assert page["tidewatt_board_watts"][()] == pytest.approx(power.watts)
        assert page["tidewatt_board_power_info"] == {(power.provenance,): 1.0}
        assert page["tidewatt_reader_info"] == {("sysfs",): 1.0}
        (about,) = page["tidewatt_board_info"]
        assert found.about.family in about
        assert found.about.l4t in about
        assert 10 < page["tidewatt_junction_temperature_celsius"][()] < 100
        assert ("0", "GR3D") in page["tidewatt_unit_hertz"]
        assert ("GR3D",) in page["tidewatt_cap_hertz"]
        assert page["tidewatt_reader_skipped_total"] == {("sysfs",): 0.0, ("tegrastats",): 0.0}
        assert "tidewatt_requests_per_second" not in page, "no application is named: not known, not zero"
        assert agent.stop() == 0
    assert "Traceback" not in agent.log()
    kept = json.loads((tmp_path / "counters.json").read_text())["counters"]
    assert kept["energy_mj"] > 0
    assert list(kept["mode_ms"]) == ["unknown"], "nobody said which mode the board is in"


def test_calibration_and_a_lost_monitor(tmp_path: Path, agents: list[Agent]) -> None:
    root = tmp_path / "root"
    with laid_out("orin-nano-super-jp62", root):
        agent = Agent(
            tmp_path,
            root,
            board={"power_gain": 2.0, "power_offset_w": 1.0},
            agent={"gap_s": 0.5, "tick_s": 0.05},
        )
        agents.append(agent)
        page = agent.page("tidewatt_board_watts")
        assert page["tidewatt_board_watts"][()] == pytest.approx(2 * 5.251904 + 1)
        for file in (root / "sys/class/hwmon/hwmon4").glob("*[0-9]_*"):
            file.unlink()  # a driver that goes takes all of its files along
        page = agent.page("tidewatt_unmeasured_seconds_total")
        deadline = time.monotonic() + TIMEOUT_S
        while "tidewatt_board_watts" in page:
            assert time.monotonic() < deadline
            page = agent.page("tidewatt_unmeasured_seconds_total")
        assert page["tidewatt_board_power_info"] == {("none",): 1.0}


def test_promtool_has_nothing_to_say(tmp_path: Path, agents: list[Agent]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: sudo apt install --no-install-recommends prometheus")
    root = tmp_path / "root"
    with laid_out("orin-nano-super-jp62", root):
        agent = Agent(tmp_path, root, board={"profile": "orin-nano-super"})
        agents.append(agent)
        agent.page("tidewatt_energy_joules_total")
        text, deadline = "", time.monotonic() + TIMEOUT_S
        while "tidewatt_cpu_use_ratio{" not in text:
            assert time.monotonic() < deadline
            let_a_second_pass(root / "proc/stat")
            text = agent.text()
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_status_says_it_in_a_few_lines(tmp_path: Path, agents: list[Agent]) -> None:
    root = tmp_path / "root"
    with laid_out("orin-nano-super-jp62", root):
        (root / "etc/nvpmodel.conf").write_text("")
        agents.append(Agent(tmp_path, root))
        agents[0].page("tidewatt_board_watts")
        program = [sys.executable, "-m", "tidewatt_agent", "status", "--config", str(tmp_path / "agent.toml")]
        lines = subprocess.run(program, capture_output=True, text=True, check=True, timeout=30).stdout
        document = subprocess.run([*program, "--json"], capture_output=True, text=True, check=True).stdout
    assert "observing (it changes nothing)" in lines
    assert "power        " in lines
    assert "saving       not known" in lines, "without a load nothing is estimated"
    status = json.loads(document)
    assert status["watts"] > 0
    assert status["temperature_c"] > 0
    assert status["requests_rps"] is None
