"""The systemd units: understood without a word, and shut tighter than their peers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tidewatt_agent.config import Config
from tidewatt_agent.hands import ANSWER_TIMEOUT_S, SWITCH_TIMEOUT_S
from tidewatt_wire.documents import parse_toml

UNITS = Path(__file__).parents[2] / "systemd"
MOSQUITTO = Path(__file__).parents[2] / "packaging/mosquitto"
#: Exposure by systemd-analyze; peers: jtop 9.6, node_exporter 9.2, Vector's hardened unit 2.2.
LIMITS = {
    "tidewatt-agent": 1.5,
    "tidewatt-actuator": 1.5,
    "tidewatt-restore": 1.5,
    "tidewatt-router": 1.5,
    "tidewatt-coordinator": 1.5,
}


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze: sudo apt install --no-install-recommends systemd")
    return program


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    files = []
    for unit in [
        *UNITS.glob("*.service"),
        *UNITS.glob("*.socket"),
        *UNITS.glob("*.path"),
        *MOSQUITTO.glob("*-crl.*"),
    ]:
        copy = tmp_path / unit.name
        # The programs aren't installed here; that isn't what is asked.
        copy.write_text(re.sub(r"/usr/s?bin/(tidewatt|nginx)\S*", "/bin/true", unit.read_text()))
        files.append(str(copy))
    # It ends with 0 on unknown keys, too: only silence is good.
    done = subprocess.run([analyze, "verify", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_broker_may_open_a_file_for_each_of_ten_thousand_devices() -> None:
    # Debian's unit leaves it at 1024; `make bench-fleet` needs this many.
    found = re.search(r"^LimitNOFILE=(\d+)$", (MOSQUITTO / "tidewatt-limits.conf").read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) > 2 * 10_000


@pytest.mark.parametrize(("unit", "limit"), LIMITS.items())
def test_exposure(analyze: str, unit: str, limit: float) -> None:
    command = [analyze, "security", "--offline=true", "--no-pager", str(UNITS / f"{unit}.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= limit


def test_who_has_the_network_has_no_privilege_and_the_other_way_round() -> None:
    agent, actuator = ((UNITS / f"tidewatt-{half}.service").read_text() for half in ("agent", "actuator"))
    assert re.search(r"^User=tidewatt$", agent, re.MULTILINE)
    assert "User=" not in actuator
    for line in ("PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "IPAddressDeny=any"):
        assert re.search(rf"^{line}$", actuator, re.MULTILINE)
    for unit in (agent, actuator):
        assert re.search(r"^CapabilityBoundingSet=$", unit, re.MULTILINE)
        assert re.search(r"^SystemCallFilter=~.*@reboot", unit, re.MULTILINE)
    assert not re.search(r"^ProtectKernelTunables=", actuator, re.MULTILINE), "/sys must stay writable"
    assert "ExecStopPost=/usr/bin/tidewatt-actuator restore" in actuator


def setting(unit: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", (UNITS / f"{unit}.service").read_text(), re.MULTILINE)
    assert found, f"{unit} has no {key}"
    return found[1]


def test_nobody_owns_the_actuators_folder_but_root() -> None:
    """A service with a user owns its state folder: none of them may be the actuator's, or above it."""
    assert setting("tidewatt-actuator", "StateDirectory") == "tidewatt"
    for unit in ("tidewatt-agent", "tidewatt-coordinator"):
        assert setting(unit, "StateDirectory") not in ("tidewatt", "."), unit
    assert setting("tidewatt-agent", "RuntimeDirectory") != "tidewatt", "it goes with the service"


def test_the_watchdog_outlasts_a_switch() -> None:
    assert float(setting("tidewatt-agent", "WatchdogSec")) > SWITCH_TIMEOUT_S + 3 * ANSWER_TIMEOUT_S


def test_the_folders_of_the_shipped_configuration_are_made_by_the_units() -> None:
    config = parse_toml((UNITS.parent / "packaging/config/agent.toml").read_text(), Config, name="agent.toml")
    assert Path(config.lease.socket or "/run/tidewatt-agent/s").parent.name == setting(
        "tidewatt-agent", "RuntimeDirectory"
    )
    assert config.state.folder == f"/var/lib/{setting('tidewatt-agent', 'StateDirectory')}"
