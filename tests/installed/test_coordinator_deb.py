"""The coordinator's package in a real systemd, beside PostgreSQL and Mosquitto of Debian, with one agent
(`make deb-trial`). What is typed is what README.Debian and packaging/mosquitto/README.md tell to type.

One machine goes through it all, in this order; each test says what must be true by then.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installed.machine import Machine, bootstrap, may_try
from tests.installed.packed import ROOT, built
from tests.installed.typed import type_all

from tidewatt_agent.recording import load
from tidewatt_agent.standin.board import build

DPKG = ("dpkg", "--force-confold")
UNIT = "tidewatt-coordinator"
STATE = "/var/lib/tidewatt-coordinator"
CONFIG = "etc/tidewatt/coordinator.toml"
FIRST, LATER = (ROOT / "VERSION").read_text().strip(), "99.0.0"
SETTINGS = {
    '\nurl = ""                      #': '\nurl = "mqtts://localhost:8883" #',
    '\nca = ""  ': f'\nca = "{STATE}/pki/ca.crt"  ',
    '\ncertificate = ""  ': f'\ncertificate = "{STATE}/pki/coordinator.pem"  ',
    f'url = "sqlite:///{STATE}/tidewatt.db"': 'url = "postgresql+psycopg:///tidewatt?host=/var/run/postgresql"',
    '[enroll]\nlisten = "" ': '[enroll]\nlisten = "127.0.0.1:8443" ',
    "\nnames = [] ": '\nnames = ["localhost"] ',
}
ASK = """
import sys, urllib.request
shown = {"Authorization": "Bearer " + sys.argv[2]}
asked = urllib.request.Request("http://127.0.0.1:8080" + sys.argv[1], headers=shown)
with urllib.request.urlopen(asked, timeout=20) as answer:
    print(answer.status, answer.headers["Content-Type"])
    print(answer.read().decode())
"""

#: What the broker shows to who shows it a certificate.
SHOWN = """
import ssl, socket, sys
tls = ssl.create_default_context(cafile=sys.argv[2])
tls.load_cert_chain(sys.argv[1])
with tls.wrap_socket(socket.create_connection(("127.0.0.1", 8883)), server_hostname="localhost") as line:
    print(ssl.DER_cert_to_PEM_cert(line.getpeercert(binary_form=True)))
"""
#: The ledger as the package has it, and as the trial has it.
SQLITE = next((old, new) for old, new in SETTINGS.items() if "sqlite" in old)

pytestmark = [pytest.mark.skipif(bool(may_try()), reason=may_try() or "-"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packages of this tree, and the coordinator's of the same tree as a later version."""
    tree = tmp_path_factory.mktemp("later") / "tree"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    for name in listed.rstrip("\0").split("\0"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name, follow_symlinks=False)
    subprocess.run(
        [sys.executable, str(tree / "packaging/set_version.py"), LATER],
        check=True,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1800000000"},
    )
    return {
        "first": built(tmp_path_factory.mktemp("first"), UNIT),
        "later": built(tmp_path_factory.mktemp("second"), UNIT, tree),
        "agent": built(tmp_path_factory.mktemp("agent"), "tidewatt-agent"),
    }


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, debs: dict[str, Path]) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine") / "root"
    bootstrap(folder, "postgresql", "mosquitto", "sqlite3")
    for name, deb in debs.items():
        (folder / f"root/{name}.deb").symlink_to(deb.name)
        shutil.copy(deb, folder / "root" / deb.name)
    (folder / "srv/board").mkdir()
    build(load(ROOT / "tests/boards/orin-nano-super-jp62"), folder / "srv/board", 0)
    machine = Machine(folder)
    machine.boot()
    yield machine
    machine.stop()


def ask(machine: Machine, path: str) -> tuple[str, str]:
    """Status and kind of an answer over REST, and its body."""
    key = (machine.root / "root/key").read_text()
    said = machine.run("python3", "-c", ASK, path, key)
    head, _, body = said.partition("\n")
    return head, body


def device(machine: Machine) -> dict[str, Any]:
    """The one device as REST shows it; empty before it is known."""
    try:
        found: list[dict[str, Any]] = json.loads(ask(machine, "/v1/fleet")[1])["devices"]
    except AssertionError:
        return {}
    return found[0] if found else {}


def active(machine: Machine) -> bool:
    return machine.show(UNIT, "ActiveState") == "active"


def test_installed_it_waits_for_its_configuration_and_says_so(machine: Machine) -> None:
    said = machine.typed(f"apt install ./tidewatt-coordinator_{FIRST}_amd64.deb")
    assert "tidewatt-coordinator: not started yet." in said
    assert "broker.url is empty: name the fleet's MQTT 5 broker" in said
    assert machine.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("stat", "-c", "%U:%G %a", f"/{CONFIG}").strip() == "root:tidewatt-coordinator 640"
    assert machine.run("systemd-analyze", "verify", "--man=no", f"{UNIT}.service") == ""
    assert machine.run("dpkg", "--verify", UNIT) == ""
    assert machine.run("tidewatt", "--version").strip() == f"tidewatt {FIRST}"


def test_started_all_the_same_it_fails_once_with_the_sentence(machine: Machine) -> None:
    assert not machine.ok("systemctl", "start", UNIT)
    assert machine.show(UNIT, "NRestarts") == "0"
    assert "broker.url is empty" in machine.run("journalctl", "-q", "-u", UNIT)
    machine.run("systemctl", "reset-failed", UNIT)


def test_configured_it_comes_up_beside_postgresql_and_mosquitto(machine: Machine) -> None:
    machine.until(lambda: machine.ok("runuser", "-u", "postgres", "--", "psql", "-c", ""), "PostgreSQL")
    machine.run("runuser", "-u", "postgres", "--", "createuser", UNIT)
    machine.run("runuser", "-u", "postgres", "--", "createdb", "--owner", UNIT, "tidewatt")
    config = machine.root / CONFIG
    text = config.read_text()
    for old, new in SETTINGS.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    config.write_text(text)
    machine.run("tidewatt", "enroll", "ca")
    machine.run("tidewatt", "enroll", "broker", "localhost", "127.0.0.1")
    assert f'certificate = "{STATE}/pki/coordinator.pem"' in machine.run("tidewatt", "enroll", "coordinator")
    machine.run("tidewatt", "keys", "new")
    owner = machine.run("stat", "-c", "%U", f"{STATE}/pki/ca.key").strip()
    assert owner == UNIT, "what root types is written as the service"
    _mosquitto(machine)
    machine.run("systemctl", "start", UNIT)
    assert active(machine), "READY was reached"
    assert machine.show(UNIT, "Type") == "notify"
    user = machine.run("ps", "-ww", "-o", "user:32=", "-p", machine.show(UNIT, "MainPID")).strip()
    assert user == UNIT
    key = machine.run("tidewatt", "access", "key", "new", "--role", "admin").split()
    (machine.root / "root/key").write_text(next(word for word in key if word.startswith("tw_")))
    doctor = machine.run("tidewatt", "doctor")
    assert "error" not in doctor, doctor
    assert "devices" not in doctor or "database.tables" in doctor


def _mosquitto(machine: Machine) -> None:
    """As packaging/mosquitto/README.md says."""
    shared = "/usr/share/tidewatt-coordinator/mosquitto"
    place = "/etc/mosquitto/tidewatt/"
    machine.run("mkdir", place)
    machine.run("install", "-o", "mosquitto", "-m", "0600", f"{STATE}/pki/broker.key", place)
    public = [f"{STATE}/pki/{name}" for name in ("broker.crt", "ca.crt", "crl.pem")]
    machine.run("install", "-m", "0644", *public, f"{shared}/tidewatt.acl", place)
    machine.run("install", "-m", "0644", f"{shared}/tidewatt.conf", "/etc/mosquitto/conf.d/")
    machine.typed("systemctl restart mosquitto")
    machine.typed("systemctl reload mosquitto")


def test_the_page_is_served(machine: Machine) -> None:
    head, body = ask(machine, "/")
    assert head.startswith("200 text/html")
    assert "<html" in body
    assert "Tidewatt" in body


def test_an_agent_enrols_and_its_reports_appear(machine: Machine) -> None:
    machine.typed(f"apt install ./tidewatt-agent_{FIRST}_amd64.deb")
    config = machine.root / "etc/tidewatt/agent.toml"
    config.write_text(config.read_text().replace('root = "/" ', 'root = "/srv/board" '))
    token = machine.run("tidewatt", "enroll", "token").strip().splitlines()[-1].split()
    assert token[:3] == ["tidewatt-agent", "enroll", "https://localhost:8443"]
    machine.run(*token, "--write")
    machine.run("systemctl", "restart", "tidewatt-agent")
    machine.until(lambda: bool(device(machine).get("energy_joules")), "a report in the ledger")
    assert device(machine)["status"] == "online"
    assert device(machine)["board"] == "orin-nano-super"


@pytest.mark.parametrize("name", ["later", "first"])
def test_upgraded_and_rolled_back_nothing_is_lost(machine: Machine, name: str) -> None:
    config, joules = (machine.root / CONFIG).read_text(), device(machine)["energy_joules"]
    said = machine.run(*DPKG, "-i", f"/root/{name}.deb")
    assert "not start" not in said
    assert active(machine)
    version = LATER if name == "later" else FIRST
    assert json.loads(ask(machine, "/healthz")[1])["version"] == version
    assert (machine.root / CONFIG).read_text() == config
    machine.until(lambda: (device(machine).get("energy_joules") or 0) > joules, "the agent's next report")
    assert "coordinator" in machine.run("tidewatt", "enroll", "list")


def test_a_start_that_fails_says_what_to_do_and_keeps_dpkg_well(machine: Machine) -> None:
    machine.run("systemctl", "stop", "postgresql@15-main")
    said = machine.run(*DPKG, "-i", "/root/later.deb")
    assert "it did not start; see: journalctl -u tidewatt-coordinator, and: tidewatt doctor" in said
    machine.run("systemctl", "start", "postgresql@15-main")
    machine.until(lambda: active(machine), "the restart that finds its database again")
    machine.run(*DPKG, "-i", "/root/first.deb")


def test_removed_and_installed_again_it_goes_on(machine: Machine) -> None:
    machine.run(*DPKG, "-r", UNIT)
    assert not machine.ok("pgrep", "-u", UNIT)
    machine.run(*DPKG, "-i", "/root/first.deb")
    assert active(machine)
    assert device(machine)


def test_the_brokers_certificate_is_rotated_as_the_page_says(machine: Machine) -> None:
    before = machine.run("cat", "/etc/mosquitto/tidewatt/broker.crt")
    type_all(machine, "### Rotate keys and certificates", "keys ")
    after = machine.run("cat", "/etc/mosquitto/tidewatt/broker.crt")
    assert before != after == machine.run("cat", f"{STATE}/pki/broker.crt")
    shown = machine.run("python3", "-c", SHOWN, f"{STATE}/pki/coordinator.pem", f"{STATE}/pki/ca.crt")
    assert shown.strip() == after.strip(), "what the broker shows since its reload"
    assert active(machine)
    machine.until(lambda: device(machine).get("status") == "online", "the agent to go on")


def test_lost_it_is_restored_as_the_page_says(machine: Machine) -> None:
    """The database in SQLite, and both folders of keys: back as the service's user's, and the same."""
    config = machine.root / CONFIG
    machine.run("systemctl", "stop", UNIT)
    config.write_text(config.read_text().replace(SQLITE[1], SQLITE[0]))
    machine.run("systemctl", "start", UNIT)
    key = machine.run("tidewatt", "access", "key", "new", "--role", "admin").split()
    (machine.root / "root/key").write_text(next(word for word in key if word.startswith("tw_")))
    machine.until(lambda: bool(device(machine).get("energy_joules")), "a report in the new ledger")
    machine.run("systemctl", "stop", "tidewatt-agent")
    joules = _settled(machine)
    type_all(machine, "### Back up", "pg_dump")
    assert machine.run("stat", "-c", "%a", "/root/backup").strip() == "700"

    machine.run("systemctl", "stop", UNIT)
    for name in ("pki", "policy-keys", "tidewatt.db", "tidewatt.db-wal", "tidewatt.db-shm"):
        machine.run("rm", "-rf", f"{STATE}/{name}")
    type_all(machine, "### A coordinator is lost", "systemctl restart")
    machine.run("install", "-o", UNIT, "-g", UNIT, "-m", "600", "/root/key", f"{STATE}/admin-key")
    type_all(machine, "### The database is lost", "createdb", "pg_restore", key=f"{STATE}/admin-key")
    assert active(machine)
    assert machine.run("find", STATE, "!", "-user", UNIT) == "", "the service can write all of it"
    assert device(machine), "known by the ledger, and asked with the key that it held"
    machine.run(
        "systemctl", "start", "tidewatt-agent"
    )  # a device's joules are shown from its first report on
    machine.until(lambda: (device(machine).get("energy_joules") or 0) > joules, "the next report is written")


def _settled(machine: Machine) -> float:
    """The device's joules when nobody adds to them any more."""
    machine.until(lambda: device(machine).get("status") != "online", "the agent's end")
    return float(device(machine)["energy_joules"])


def test_purged_it_leaves_the_agent_alone_and_nothing_of_itself(machine: Machine) -> None:
    machine.run(*DPKG, "-P", UNIT)
    left = {
        path
        for path in machine.files() - machine.before
        if "coordinator" in path and "tidewatt_agent" not in path
    }
    assert left == set()
    assert UNIT not in (machine.root / "etc/passwd").read_text()
    assert (machine.root / "etc/tidewatt/agent.toml").exists()
    assert machine.show("tidewatt-agent", "ActiveState") == "active"
    machine.run(*DPKG, "-P", "tidewatt-agent")
    left = {path for path in machine.files() - machine.before if "tidewatt" in path}
    assert {path for path in left if not path.startswith("etc/mosquitto/")} == set()


def test_two_builds_are_the_same_bytes(debs: dict[str, Path], tmp_path: Path) -> None:
    assert built(tmp_path, UNIT).read_bytes() == debs["first"].read_bytes()


@pytest.mark.skipif(not shutil.which("lintian"), reason="needs lintian")
def test_lintian_has_nothing_to_say(debs: dict[str, Path]) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(debs["first"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
