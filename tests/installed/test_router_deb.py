"""The router's package in a real systemd, typed as docs/router.md has it (`make deb-trial`).

One machine goes through it all, in this order; each test says what must be true by then.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.installed.machine import Machine, bootstrap, may_try
from tests.installed.packed import built

from tidewatt_router import VERSION

UNIT = "tidewatt-router"
CONFIG = "etc/tidewatt/router.toml"
#: What a router has at the least: a proxy, a backend, a route. There is no broker here.
CONFIGURED = """
[envoy]
folder = "/var/lib/tidewatt-router/envoy"

[[backend]]
name = "jetson-17"
address = "10.0.0.1:8000"

[[route]]
name = "inference"
"""
LACKS = (
    "no key is configured: every table is refused",
    "no proxy is configured: add [nginx], [haproxy], [envoy] or [gateway]",
    "no [[route]] is configured: there is nothing to share out",
)

pytestmark = [pytest.mark.skipif(bool(may_try()), reason=may_try() or "-"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"router": built(tmp_path_factory.mktemp("debs"), UNIT)}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, debs: dict[str, Path]) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine") / "root"
    bootstrap(folder)
    for deb in debs.values():
        shutil.copy(deb, folder / "root")
    machine = Machine(folder)
    machine.boot()
    yield machine
    machine.stop()


def active(machine: Machine) -> bool:
    return machine.show(UNIT, "ActiveState") == "active"


def ended(machine: Machine, line: str) -> tuple[int, str]:
    """The exit code of a line typed as root, and what it says."""
    code = machine.run("sh", "-c", f"{line} >/root/said 2>&1; echo $?").strip()
    return int(code), (machine.root / "root/said").read_text()


def test_installed_it_waits_to_be_enabled(machine: Machine) -> None:
    machine.typed(f"apt install ./tidewatt-router_{VERSION}_amd64.deb")
    assert machine.run("systemctl", "is-enabled", UNIT, check=False).strip() == "disabled"
    assert not active(machine)
    assert machine.run("systemd-analyze", "verify", "--man=no", f"{UNIT}.service") == ""
    assert machine.run("dpkg", "--verify", UNIT) == ""
    assert machine.typed("tidewatt-router --version").strip() == f"tidewatt-router {VERSION}"
    code, said = ended(machine, "tidewatt-router status")
    assert (code, "no router answers at 127.0.0.1:9751" in said) == (1, True), said


def test_as_it_was_shipped_it_says_what_it_lacks(machine: Machine) -> None:
    machine.typed("tidewatt-router config validate")
    code, said = ended(machine, "tidewatt-router check")
    assert code == 1
    assert [line.removeprefix("tidewatt-router: ") for line in said.splitlines()] == list(LACKS)


def test_enabled_it_comes_up(machine: Machine) -> None:
    machine.typed("systemctl enable --now tidewatt-router")
    assert machine.show(UNIT, "Type") == "notify"
    assert active(machine), "READY was reached"
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    user = machine.run("ps", "-ww", "-o", "user:32=", "-p", machine.show(UNIT, "MainPID")).strip()
    assert user == UNIT
    assert machine.show(UNIT, "NRestarts") == "0"
    code, said = ended(machine, "tidewatt-router status")
    assert said.splitlines() == ["broker: no broker is configured", "table: none was ever taken"]
    assert code == 1, "without a proxy none follows a table"


def test_configured_it_says_what_its_proxy_follows(machine: Machine) -> None:
    config = machine.root / CONFIG
    config.write_text(config.read_text() + CONFIGURED)
    machine.typed("tidewatt-router config validate")
    machine.typed("systemctl restart tidewatt-router")
    machine.until(lambda: "equal shares" in ended(machine, "tidewatt-router status")[1], "the first 5 s")
    code, said = ended(machine, "tidewatt-router status")
    assert code == 1, "no table is in force"
    assert said.splitlines()[:2] == ["broker: no broker is configured", "table: none was ever taken"]
    assert "inference: from no table: equal shares" in said
    assert (machine.root / "var/lib/tidewatt-router/envoy/inference.json").exists()


def test_nginx_is_reloaded_by_a_path_unit(machine: Machine) -> None:
    machine.typed("systemctl enable --now tidewatt-router-nginx.path")
    assert machine.show("tidewatt-router-nginx.path", "ActiveState") == "active"


def test_the_clock_is_told(machine: Machine) -> None:
    """As docs/operate.md has it for a clock that is wrong."""
    said = machine.typed("timedatectl")
    assert "System clock synchronized: " in said
    assert "NTP service: " in said


def test_installed_again_it_goes_on(machine: Machine) -> None:
    config = (machine.root / CONFIG).read_text()
    machine.run("dpkg", "--force-confold", "-i", f"/root/tidewatt-router_{VERSION}_amd64.deb")
    assert active(machine)
    assert (machine.root / CONFIG).read_text() == config


def test_removed_it_leaves_its_configuration(machine: Machine) -> None:
    machine.run("dpkg", "-r", UNIT)
    assert not machine.ok("pgrep", "-u", UNIT)
    assert (machine.root / CONFIG).exists()


def test_purged_it_leaves_nothing(machine: Machine) -> None:
    machine.run("dpkg", "-P", UNIT)
    assert {path for path in machine.files() - machine.before if "tidewatt" in path} == set()
    assert UNIT not in (machine.root / "etc/passwd").read_text()


def test_two_builds_are_the_same_bytes(debs: dict[str, Path], tmp_path: Path) -> None:
    assert built(tmp_path, UNIT).read_bytes() == debs["router"].read_bytes()


@pytest.mark.skipif(not shutil.which("lintian"), reason="needs lintian")
def test_lintian_has_nothing_to_say(debs: dict[str, Path]) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(debs["router"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
