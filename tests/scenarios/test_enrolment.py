"""From a token to a revoked certificate: coordinator, broker and the device's command, as they are."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.secured import SecuredMosquitto
from tests.world import HandClock

from tidewatt_agent.config import parse_config
from tidewatt_agent.enrolling.identity import read_identity
from tidewatt_agent.enrolling.renewal import Renewal
from tidewatt_agent.policyfile import configured_keys
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_link.connection import CannotConnect, Connection

COORDINATOR = """\
[coordinator]
fleet = "f"
listen = "127.0.0.1:{page}"
[access]
metrics = "open"
[broker]
url = "{broker}"
ca = "{pki}/ca.crt"
certificate = "{pki}/coordinator.pem"
[ledger]
url = "sqlite:///{pki}/ledger.db"
[enroll]
listen = "127.0.0.1:{door}"
names = ["127.0.0.1"]
folder = "{pki}"
[policy_keys]
folder = "{pki}/policy-keys"
[models]
folder = "{pki}/models"
"""


def command(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", module, *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


class Site:
    """A coordinator with its door open, and one device."""

    def __init__(self, broker: SecuredMosquitto, folder: Path) -> None:
        broker.pki.shown("coordinator")
        self.broker, self.door, self.page = broker, free_port(), free_port()
        self.coordinator, self.agent = folder / "coordinator.toml", folder / "agent.toml"
        self.coordinator.write_text(
            COORDINATOR.format(page=self.page, broker=broker.url, pki=broker.pki.path, door=self.door)
        )
        (folder / "state").mkdir()
        self.key = KeyFolder(broker.pki.path / "policy-keys").new().trusted
        self.agent.write_text(
            f'[agent]\ndevice = "d1"  # this one\n[link]\n[state]\nfolder = "{folder}/state"\n'
        )

    def tidewatt(self, *arguments: str) -> str:
        done = command("tidewatt_coordinator", *arguments, "--config", str(self.coordinator))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def metrics(self) -> str:
        """The coordinator's page for Prometheus."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}/metrics", timeout=30) as answer:
            found: str = answer.read().decode()
            return found

    def device(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return command("tidewatt_agent", *arguments, "--config", str(self.agent))

    def connection(self) -> Connection:
        link = parse_config(self.agent.read_text(), name="agent.toml").link
        return Connection(link.broker, link, setting="link.broker")


@pytest.fixture
def site(guarded: SecuredMosquitto, tmp_path: Path) -> Iterator[Site]:
    site = Site(guarded, tmp_path)
    program = [sys.executable, "-m", "tidewatt_coordinator", "serve", "--config", str(site.coordinator)]
    with subprocess.Popen(program) as process:
        deadline = time.monotonic() + 90
        while True:
            try:
                socket.create_connection(("127.0.0.1", site.door), timeout=1).close()
            except OSError:
                assert process.poll() is None, "the coordinator ended"
                assert time.monotonic() < deadline, "no door"
                time.sleep(0.02)
            else:
                break
        yield site
        process.terminate()
        assert process.wait(20) == 0


async def test_the_whole_way(site: Site) -> None:
    printed = site.tidewatt("enroll", "token", "--device", "d1").split()
    assert printed[:3] == ["tidewatt-agent", "enroll", f"https://127.0.0.1:{site.door}"]
    token = printed[printed.index("--token") + 1]

    wrong = site.device("enroll", printed[2], "--token", token, "--ca-fingerprint", "0" * 64)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "another CA than the one with that fingerprint: nothing was sent" in wrong.stderr
    unknown = site.device("enroll", printed[2], "--token", token)
    assert "can't be trusted" in unknown.stderr, "without a fingerprint, the system's CAs hold"

    done = site.device(*printed[1:], "--write")
    assert done.returncode == 0, done.stderr
    text = site.agent.read_text()
    config = parse_config(text, name="agent.toml")
    assert (config.agent.fleet, config.agent.device, config.link.broker) == ("f", "d1", site.broker.url)
    assert "# this one" in text
    assert [key.public for key in configured_keys(config.link)] == [site.key.public]
    kept = Path(config.link.certificate)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert 'tidewatt_enrolment_answers_total{outcome="enrolled"} 1.0' in site.metrics()
    async with site.connection().client() as client:
        await client.publish("tidewatt/v1/f/device/d1/report", b"x", qos=1)

    again = site.device(*printed[1:])
    assert again.returncode == 1
    assert "this token has been used" in again.stderr

    first = read_identity(config.link.certificate)
    renewed = site.device("enroll", "--renew")
    assert renewed.returncode == 0, renewed.stderr
    second = read_identity(config.link.certificate)
    assert second.key.public_key() != first.key.public_key()
    assert second.certificate.serial_number != first.certificate.serial_number
    async with site.connection().client():
        pass

    later = HandClock(round(time.time() * 1000) + 70 * 86_400_000)
    assert not Renewal(config.link, HandClock(round(time.time() * 1000))).look(), "it is not time yet"
    assert Renewal(config.link, later).look()
    second = read_identity(config.link.certificate)
    async with site.connection().client():
        pass

    assert "revoked certificates: 3" in site.tidewatt("enroll", "revoke", "d1")
    site.broker.reload()
    with pytest.raises(CannotConnect, match="has been revoked"):
        async with site.connection().client():
            pass
    refused = site.device("enroll", "--renew")
    assert refused.returncode == 1
    assert "the present certificate has been revoked" in refused.stderr
    assert read_identity(config.link.certificate).certificate == second.certificate

    listed = site.tidewatt("enroll", "list")
    assert listed.count("revoked") == 3
    assert token not in listed
    doctor = json.loads(site.device("doctor", "--json").stdout)
    found = {finding["id"]: finding for finding in doctor}
    assert found["link.certificate"]["level"] == "ok"
    assert found["link.key"]["level"] == "ok"
    assert found["link.ca"]["level"] == "ok"


def test_what_is_not_answered_with_a_certificate(site: Site) -> None:
    url = f"https://127.0.0.1:{site.door}"
    printed = site.tidewatt("enroll", "token", "--device", "another").split()
    for token, sentence in (
        (printed[printed.index("--token") + 1], "this token is for another device than d1"),
        ("AAAA", "this token is unknown"),
    ):
        done = site.device("enroll", url, "--token", token, "--ca", f"{site.broker.pki.ca}")
        assert (done.returncode, done.stdout) == (1, "")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    away = site.device("enroll", f"https://127.0.0.1:{free_port()}", "--token", "A")
    assert "does not answer: Connection refused" in away.stderr
    assert "say where and with what" in site.device("enroll").stderr
    assert "it uses link.renew" in site.device("enroll", "--renew").stderr
