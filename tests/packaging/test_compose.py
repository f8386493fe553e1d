"""compose.yaml, as it is written and as docker compose reads it: complete, confined, closed; each part takes
its configuration.

docker compose comes with Python 3.11 and newer only: on 3.10 the file is judged as it is written and no more.
"""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.conftest import mosquitto_program
from tests.ports import free_port
from tests.secured import Pki

from tidewatt_coordinator.config import parse_config

ROOT = Path(__file__).parents[2]
HERE = ROOT / "packaging/compose"
#: What `prepare` makes or a command of docs/deploy.md does.
SECRETS = {"pgpass", "database_password", "grafana_password", "broker", "metrics"}
SERVICES = {"coordinator", "postgres", "mosquitto", "prometheus", "grafana"}


def as_written() -> dict[str, Any]:
    """Its own words, with its variables' defaults in them and the short forms that it uses written out."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (HERE / "compose.yaml").read_text("utf-8"))
    found: dict[str, Any] = YAML(typ="safe").load(text)
    for one in found["services"].values():
        one["networks"] = dict.fromkeys(one["networks"])
        one["volumes"] = [_mount(*mount.split(":")) for mount in one["volumes"]]
        published = [port.split(":") for port in one.get("ports", [])]
        one["ports"] = [
            {"host_ip": host, "published": outside, "target": int(inside)}
            for host, outside, inside in published
        ]
    return found


def _mount(source: str, target: str, mode: str = "rw") -> dict[str, Any]:
    bound = source.startswith(".")
    place = os.path.normpath(HERE / source) if bound else source
    return {
        "type": "bind" if bound else "volume", "source": place, "target": target, "read_only": mode == "ro",
    }  # fmt: skip


def as_compose_reads_it() -> dict[str, Any]:
    """The whole, with every default filled in."""
    program = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    assert program, "requirements/dev.txt brings it"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TIDEWATT")}
    command = [program, "-f", str(HERE / "compose.yaml"), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


READINGS = [as_written, *([as_compose_reads_it] if sys.version_info >= (3, 11) else [])]


@pytest.fixture(scope="module", params=READINGS, ids=lambda one: one.__name__)
def read(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param()
    return found


def test_every_service_is_confined_and_watched(read: dict[str, Any]) -> None:
    assert read["services"].keys() == SERVICES
    dockerfile = (ROOT / "packaging/container/Dockerfile").read_text()
    for name, one in read["services"].items():
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["restart"] == "unless-stopped", name
        if name == "coordinator":
            assert "HEALTHCHECK" in dockerfile
            assert "USER 10001:10001" in dockerfile
        else:
            assert one["healthcheck"]["test"], name
            assert int(one["user"].split(":")[0]) > 0, name
            assert ":" in one["image"].rpartition("/")[2], f"{name} has no tag"
            assert not one["image"].endswith(":latest")


def test_nothing_is_published_beyond_this_machine(read: dict[str, Any]) -> None:
    published = {
        (name, port["target"]) for name, one in read["services"].items() for port in one.get("ports", [])
    }
    assert published == {("coordinator", 8080), ("coordinator", 8443), ("mosquitto", 8883), ("grafana", 3000)}
    for one in read["services"].values():
        assert all(port["host_ip"] == "127.0.0.1" for port in one.get("ports", []))
    assert read["networks"]["inside"]["internal"]
    assert read["services"]["postgres"]["networks"].keys() == {"inside"}


def test_every_file_that_is_mounted_is_there_or_made(read: dict[str, Any]) -> None:
    volumes = set()
    for one in read["services"].values():
        for mount in one["volumes"]:
            if mount["type"] == "volume":
                volumes.add(mount["source"])
                continue
            assert mount["read_only"]
            source = Path(mount["source"]).relative_to(ROOT / "packaging")
            if source.parts[:2] == ("compose", "secrets"):
                assert source.parts[2] in SECRETS
            else:
                assert (ROOT / "packaging" / source).exists(), source
    assert volumes == read["volumes"].keys()


def test_no_secret_is_in_the_environment(read: dict[str, Any]) -> None:
    names = {name for one in read["services"].values() for name in one.get("environment", {})}
    assert not [one for one in names if "PASSWORD" in one and not one.endswith("_FILE")]
    assert "secrets/" in (HERE / ".gitignore").read_text().splitlines()


def test_the_coordinator_takes_its_configuration() -> None:
    config = parse_config((HERE / "coordinator.toml").read_text(), name="coordinator.toml")
    assert config.coordinator.listen == "0.0.0.0:8080"
    assert ":" not in config.ledger.url.partition("://")[2].partition("@")[0], "a password"


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: sudo apt install --no-install-recommends prometheus")
    for file in (HERE / "prometheus.yml", *(ROOT / "packaging/prometheus").glob("tidewatt.[rt]*s.yml")):
        shutil.copy(file, tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text("tw_0_0\n")
    done = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == 4, "the file itself, that its rules are there, and both of them"


def test_mosquitto_takes_its_configuration(tmp_path: Path) -> None:
    mosquitto = mosquitto_program()
    pki, site, parts = Pki(tmp_path / "pki"), tmp_path / "site", tmp_path / "conf.d"
    site.mkdir()
    parts.mkdir()
    pki.certificate("server", "broker")
    pki.ledger.close()
    both = (pki.path / "broker.pem").read_text()
    at = both.index("-----BEGIN PRIVATE")
    (site / "broker.crt").write_text(both[:at])
    (site / "broker.key").write_text(both[at:])
    for file in (pki.path / "ca.crt", pki.path / "crl.pem", ROOT / "packaging/mosquitto/tidewatt.acl"):
        shutil.copy(file, site)
    port = free_port()
    text = (
        (ROOT / "packaging/mosquitto/tidewatt.conf").read_text().replace("/etc/mosquitto/tidewatt", str(site))
    )
    (parts / "tidewatt.conf").write_text(text.replace("listener 8883\n", f"listener {port} 127.0.0.1\n"))
    main = (HERE / "mosquitto.conf").read_text()
    main = main.replace("/mosquitto/data", str(tmp_path)).replace("/etc/mosquitto/conf.d", str(parts))
    (tmp_path / "mosquitto.conf").write_text(f"user root\n{main}")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [mosquitto, "-c", str(tmp_path / "mosquitto.conf")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, "it does not listen"
                time.sleep(0.01)
    finally:
        process.kill()  # one that has just begun may miss that it is to end
        process.wait()
    assert "Error" not in (tmp_path / "log").read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: it gives files to other users")
def test_secrets_are_made_once_each_for_one_user(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["sh", str(HERE / "prepare"), str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    made = {one.name: one for one in folder.iterdir()}
    assert made.keys() == SECRETS
    owners = {name: one.stat().st_uid for name, one in made.items()}
    assert owners == {
        "pgpass": 10001, "database_password": 999, "grafana_password": 472, "broker": 1883, "metrics": 65534,
    }  # fmt: skip
    assert not [one for one in made.values() if one.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    passwords = {name: made[name].read_text().strip() for name in ("database_password", "grafana_password")}
    assert len(set(passwords.values())) == 2
    assert all(len(one) == 48 and one not in said for one in passwords.values())
    assert made["pgpass"].read_text().strip().endswith(f":{passwords['database_password']}")
    before = {name: one.read_bytes() for name, one in made.items() if one.is_file()}
    subprocess.run(command, capture_output=True, check=True)
    assert before == {name: made[name].read_bytes() for name in before}
