"""The package in a real systemd: installed, killed, upgraded, downgraded, removed, purged (`make deb-trial`).

One machine goes through it all, in this order; each test says what must be true by then.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.installed.machine import Machine, may_try, unpack

from tidewatt_agent.recording import load
from tidewatt_agent.standin.board import build

ROOT = Path(__file__).parents[2]
BOARD = "srv/board"
HERE, THERE = "pmode:0000", "pmode:0001"  # 15W, as found; 25W, the safe point of an enforcing agent
DPKG = ("dpkg", "--force-confold", "--force-depends")

pytestmark = pytest.mark.skipif(bool(may_try()), reason=may_try() or "-")


def built(out: Path) -> Path:
    """The package for this machine, for the Python of the trial's Debian, too."""
    program = [sys.executable, str(ROOT / "packaging/build_deb.py"), "--out", str(out)]
    options = ["--arch", "amd64", "--package", "tidewatt-agent", "--python", "3.10", "3.11", "3.12"]
    subprocess.run([*program, *options], check=True, capture_output=True)
    (deb,) = out.glob("*.deb")
    return deb


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package, for the Python of the trial's Debian, too; and the same as a later version."""
    out = tmp_path_factory.mktemp("debs")
    first = built(out)
    unpacked = out / "later"
    subprocess.run(["dpkg-deb", "-R", first, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*$", "Version: 9.9.9", control.read_text()))
    later = out / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", unpacked, later], check=True, capture_output=True)
    return {"first": first, "later": later}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, debs: dict[str, Path]) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine") / "root"
    unpack(folder, "amd64")
    for name, deb in debs.items():
        shutil.copy(deb, folder / f"root/{name}.deb")
    board = folder / BOARD
    board.mkdir(parents=True)
    build(load(ROOT / "tests/boards/orin-nano-super-jp62"), board, 0)
    shutil.copy(board / "etc/nvpmodel.conf", folder / "etc/nvpmodel.conf")
    (folder / "var/lib/nvpmodel").mkdir()
    (folder / "var/lib/nvpmodel/status").write_text(HERE)
    tool = folder / "usr/bin/nvpmodel"
    tool.write_text(
        "#!/bin/sh\nexport PYTHONPATH=/usr/lib/tidewatt/app:/usr/lib/tidewatt/py311\n"
        'exec python3 -m tidewatt_agent.standin.nvpmodel / "$@"\n'
    )
    tool.chmod(0o755)
    machine = Machine(folder)
    machine.boot(BOARD)
    yield machine
    machine.stop()


def status(machine: Machine) -> str:
    found: str = (machine.root / "var/lib/nvpmodel/status").read_text().strip()
    return found


def counters(machine: Machine) -> dict[str, object]:
    file = machine.root / "var/lib/tidewatt/agent/counters.json"
    found: dict[str, object] = json.loads(file.read_text())
    return found


def configure(machine: Machine) -> None:
    """Let the agent read the stand-in board."""
    path = machine.root / "etc/tidewatt/agent.toml"
    path.write_text(path.read_text().replace('root = "/" ', f'root = "/{BOARD}" '))
    machine.run("systemctl", "restart", "tidewatt-agent")


def test_installed_it_runs_and_changes_nothing(machine: Machine) -> None:
    machine.run(*DPKG, "-i", "/root/first.deb")
    assert machine.show("tidewatt-agent", "ActiveState") == "active", "READY was reached: it is Type=notify"
    assert machine.show("tidewatt-agent", "Type") == "notify"
    assert machine.show("tidewatt-actuator.socket", "ActiveState") == "active"
    assert machine.show("tidewatt-actuator.service", "ActiveState") == "inactive", "root's half waits"
    listening = machine.run("ss", "-Hltn").split()[3::5]
    assert [address for address in listening if not address.startswith("127.0.0.1:")] == []
    user = machine.run("ps", "-o", "user=", "-p", machine.show("tidewatt-agent", "MainPID")).strip()
    assert user == "tidewatt"
    assert status(machine) == HERE
    units = ("tidewatt-agent.service", "tidewatt-actuator.service", "tidewatt-restore.service")
    assert machine.run("systemd-analyze", "verify", "--man=no", *units) == ""
    assert machine.run("dpkg", "--verify", "tidewatt-agent") == ""


def test_status_says_what_it_would_save(machine: Machine) -> None:
    configure(machine)
    machine.until(lambda: "power        unknown" not in machine.run("tidewatt-agent", "status"), "a reading")
    said = machine.run("tidewatt-agent", "status")
    assert "observing (it changes nothing)" in said
    assert "mode         15W" in said
    assert "Orin Nano" in said


def test_a_hanging_agent_is_killed_by_the_watchdog_and_comes_back(machine: Machine) -> None:
    dropin = machine.root / "etc/systemd/system/tidewatt-agent.service.d"
    dropin.mkdir()
    (dropin / "trial.conf").write_text("[Service]\nWatchdogSec=2\nRestartSec=0\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "tidewatt-agent")
    machine.run("kill", "-STOP", machine.show("tidewatt-agent", "MainPID"))
    machine.until(lambda: int(machine.show("tidewatt-agent", "NRestarts")) > 0, "the restart")
    machine.until(lambda: machine.show("tidewatt-agent", "ActiveState") == "active", "READY")
    shutil.rmtree(dropin)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "tidewatt-agent")


def test_enabled_it_acts_and_any_death_puts_the_board_back(machine: Machine) -> None:
    machine.run("tidewatt-agent", "enable")
    machine.until(lambda: status(machine) == THERE, "the safe point")
    assert (machine.root / "var/lib/tidewatt/undo.json").exists()
    machine.run("kill", "-KILL", machine.show("tidewatt-actuator", "MainPID"))
    machine.until(lambda: status(machine) == HERE, "ExecStopPost")
    machine.until(lambda: status(machine) == THERE, "the agent, which lives on")
    machine.run("kill", "-KILL", machine.show("tidewatt-agent", "MainPID"))
    machine.until(lambda: status(machine) == HERE, "the actuator")
    machine.until(lambda: status(machine) == THERE, "the agent's next life")


@pytest.mark.parametrize("version", ["later", "first"])
def test_upgraded_and_downgraded_nothing_is_lost(machine: Machine, version: str) -> None:
    machine.until(lambda: status(machine) == THERE, "the agent to act")
    config, before = (machine.root / "etc/tidewatt/agent.toml").read_text(), counters(machine)
    machine.run(*DPKG, "-i", f"/root/{version}.deb")
    assert (machine.root / "etc/tidewatt/agent.toml").read_text() == config
    assert machine.show("tidewatt-agent", "ActiveState") == "active"
    assert counters(machine)["epoch"] == before["epoch"], "the same life of the counters"
    machine.until(lambda: status(machine) == THERE, "the new one to act")


def test_a_stop_that_fails_does_not_keep_an_upgrade_out(machine: Machine) -> None:
    dropin = machine.root / "etc/systemd/system/tidewatt-agent.service.d"
    dropin.mkdir()
    (dropin / "trial.conf").write_text("[Service]\nExecStop=/bin/false\n")
    machine.run("systemctl", "daemon-reload")
    machine.run(*DPKG, "-i", "/root/later.deb")
    assert machine.show("tidewatt-agent", "ActiveState") == "active"
    shutil.rmtree(dropin)
    machine.run("systemctl", "daemon-reload")
    machine.run(*DPKG, "-i", "/root/first.deb")


def test_a_script_that_crashes_leaves_dpkg_able_to_go_on(machine: Machine) -> None:
    sysusers = next(path for path in machine.root.glob("*bin/systemd-sysusers") if not path.is_symlink())
    aside = sysusers.with_name("systemd-sysusers.aside")
    sysusers.rename(aside)
    sysusers.write_text("#!/bin/sh\nkill -9 $PPID\n")
    sysusers.chmod(0o755)
    assert not machine.ok(*DPKG, "-i", "/root/later.deb")
    aside.rename(sysusers)
    machine.run(*DPKG, "--configure", "-a")
    assert machine.show("tidewatt-agent", "ActiveState") == "active"
    assert "9.9.9" in machine.run("dpkg", "-s", "tidewatt-agent")


def test_removed_it_leaves_the_board_as_found_and_the_configuration(machine: Machine) -> None:
    machine.until(lambda: status(machine) == THERE, "the agent to act")
    machine.run(*DPKG, "-r", "tidewatt-agent")
    assert status(machine) == HERE
    assert (machine.root / "etc/tidewatt/agent.toml").exists()
    assert not machine.ok("pgrep", "-f", "tidewatt")


def test_purged_it_leaves_nothing(machine: Machine) -> None:
    machine.run(*DPKG, "-P", "tidewatt-agent")
    left = machine.files() - machine.before
    # Backups that shadow's own tools make.
    assert {path for path in left if not path.endswith("-") and not path.startswith("etc/.pwd.lock")} == set()
    assert "tidewatt" not in (machine.root / "etc/passwd").read_text()


def test_two_builds_are_the_same_bytes(debs: dict[str, Path], tmp_path: Path) -> None:
    assert built(tmp_path).read_bytes() == debs["first"].read_bytes()


@pytest.mark.skipif(not shutil.which("lintian"), reason="needs lintian")
def test_lintian_has_nothing_to_say(debs: dict[str, Path]) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(debs["first"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
