"""A real Mosquitto on the shipped configuration, with certificates of a real CA, and its clients."""

import contextlib
import datetime as dt
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
from cryptography import x509
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from tests.ports import free_port

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.pki.certificates import (
    Authority,
    Kind,
    key_pem,
    new_authority,
    new_certificate,
    new_key,
    pem,
)
from tidewatt_coordinator.pki.folder import Folder
from tidewatt_coordinator.pki.issuing import write_revocation_list
from tidewatt_coordinator.pki.register import Register
from tidewatt_link.connection import Connection
from tidewatt_wire.brokers import Credentials

SHIPPED = Path(__file__).parents[1] / "packaging/mosquitto"
KINDS: dict[str, Kind] = {"coordinator": "coordinator", "router": "router"}
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


def now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc).replace(microsecond=0)


class Pki:
    """A CA in a folder with a register, as `tidewatt enroll` makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = Folder(str(path))
        self.authority: Authority = new_authority("f", now())
        self.folder.begin(self.authority)
        self.ledger = Ledger(f"sqlite:///{path}/ledger.db", 300_000)
        self.register = Register(self.ledger.engine)
        self.write_list()

    @property
    def ca(self) -> str:
        return str(self.path / "ca.crt")

    def write_list(self) -> None:
        write_revocation_list(self.folder, self.register, round(time.time() * 1000))

    def revoke(self, name: str) -> None:
        assert self.register.revoke(name, round(time.time() * 1000))
        self.write_list()

    def certificate(self, kind: Kind, *names: str, at: dt.datetime | None = None) -> x509.Certificate:
        """Made, registered, and kept as NAME.pem with its key."""
        key = new_key()
        made = new_certificate(self.authority, kind, names, key.public_key(), at or now(), 7)
        self.register.add(made, kind, round(time.time() * 1000))
        self.folder.write(f"{names[0]}.pem", pem(made) + key_pem(key), 0o600)
        return made

    def shown(self, name: str, *, ca: str | None = None) -> Credentials:
        """What the owner of NAME.pem shows to a broker."""
        if not (self.path / f"{name}.pem").exists():
            self.certificate(KINDS.get(name, "device"), name)
        return Credentials(ca=self.ca if ca is None else ca, certificate=str(self.path / f"{name}.pem"))


class SecuredMosquitto:
    """Mosquitto on packaging/mosquitto, with another port and other paths."""

    def __init__(self, program: str, pki: Pki, folder: Path) -> None:
        self._program, self.pki, self._folder = program, pki, folder
        self.port: int = free_port()
        self.address = ("127.0.0.1", self.port)
        self.url = f"mqtts://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "mosquitto.log"

    def start(self) -> None:
        site, parts = self._folder / "site", self._folder / "conf.d"
        site.mkdir(exist_ok=True)
        parts.mkdir(exist_ok=True)
        if not (site / "broker.key").exists():
            self.serve_as("127.0.0.1", "localhost")
        shutil.copy(self.pki.ca, site / "ca.crt")
        shutil.copy(SHIPPED / "tidewatt.acl", site)
        self.copy_list()
        text = (SHIPPED / "tidewatt.conf").read_text()
        text = text.replace("/etc/mosquitto/tidewatt", str(site))
        text = text.replace("listener 8883\n", f"listener {self.port} 127.0.0.1\n")
        (parts / "tidewatt.conf").write_text(text)
        main = self._folder / "mosquitto.conf"
        main.write_text(
            f"user root\npersistence_location {self._folder}/\n"
            f"log_dest file {self.log}\ninclude_dir {parts}\n"
        )
        with self.log.with_suffix(".err").open("ab") as errors:
            self._process = subprocess.Popen([self._program, "-c", str(main)], stderr=errors)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "mosquitto did not come up"
                time.sleep(0.01)
            else:
                return

    def serve_as(self, *names: str, at: dt.datetime | None = None) -> None:
        """Give it a certificate for these names; `at`: good from then on, for a week."""
        certificate = self.pki.certificate("server", *names, at=at)
        both = (self.pki.path / f"{names[0]}.pem").read_bytes()
        (self._folder / "site/broker.crt").write_bytes(pem(certificate))
        (self._folder / "site/broker.key").write_bytes(both[both.index(b"-----BEGIN PRIVATE") :])

    def copy_list(self) -> None:
        shutil.copy(self.pki.path / "crl.pem", self._folder / "site/crl.pem")

    def reload(self) -> None:
        """Give it the revocation list and have it read it, as `systemctl reload mosquitto` does."""
        self.copy_list()
        assert self._process
        before = self.log.read_text().count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while self.log.read_text().count("Reloading config") == before:
            assert time.monotonic() < deadline, "mosquitto did not reload"
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def freeze(self) -> None:
        """Have it do nothing, as a machine that is too busy does, until `thaw`."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut would; `start` brings it back on the same port with what it had written."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def secured(program: str, folder: Path) -> Iterator[SecuredMosquitto]:
    pki = Pki(folder / "pki")
    broker = SecuredMosquitto(program, pki, folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        pki.ledger.close()


class Voice:
    """A client that hears what the broker says to each publish, which aiomqtt keeps to itself."""

    def __init__(self, broker: SecuredMosquitto, shown: Credentials) -> None:
        self.heard: list[str] = []
        self._answers: dict[int, str] = {}
        self._came = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.tls_set_context(Connection(broker.url, shown).tls())
        self._client.on_connect = lambda _c, _u, _f, code, _p: self._answered(0, code)
        self._client.on_disconnect = lambda _c, _u, _f, code, _p: self._answered(-1, code)
        self._client.on_publish = self._published
        self._client.on_message = lambda _c, _u, message: self._hear(message.topic)
        self._client.on_subscribe = lambda _c, _u, mid, codes, _p: self._answered(mid, codes[0])
        self._port = broker.port

    def __enter__(self) -> "Voice":  # noqa: PYI034 - Self came with Python 3.11
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._answer(0) == "Success"
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> str:
        """The broker's answer to a publish."""
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        return self._answer(sent.mid)

    def dropped(self, topic: str, payload: bytes) -> str:
        """Why the broker hangs up on this."""
        self._client.publish(topic, payload, qos=1)
        return self._answer(-1)

    def listen(self, pattern: str) -> str:
        """The broker's answer to a subscription."""
        _, mid = self._client.subscribe(pattern, qos=1)
        assert mid is not None
        return self._answer(mid)

    def hear(self, topic: str) -> list[str]:
        """Wait until `topic` was heard; everything heard so far."""
        with self._came:
            assert self._came.wait_for(lambda: topic in self.heard, 10), self.heard
            return list(self.heard)

    def vanish(self) -> None:
        """Cut the line without a goodbye: the broker speaks the will."""
        self._client.loop_stop()
        line = self._client.socket()
        assert line is not None
        line.close()

    def leave_will(self, topic: str) -> None:
        """To be called before the connection is made."""
        self._client.will_set(topic, b"gone", qos=1, retain=True)

    def _published(
        self, _client: paho.Client, _data: object, mid: int, code: ReasonCode, _properties: Properties
    ) -> None:
        self._answered(mid, code)

    def _answered(self, mid: int, code: ReasonCode) -> None:
        with self._came:
            self._answers[mid] = str(code)
            self._came.notify_all()

    def _hear(self, topic: str) -> None:
        with self._came:
            self.heard.append(topic)
            self._came.notify_all()

    def _answer(self, mid: int) -> str:
        with self._came:
            assert self._came.wait_for(lambda: mid in self._answers, 10), "the broker did not answer"
            return self._answers.pop(mid)
