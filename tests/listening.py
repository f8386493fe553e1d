"""A coordinator's ears beside a CA, and what a board may tell them of its sleep."""

import base64
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from tests.hinted import BEGIN_MS
from tests.secured import Pki

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.pki.certificates import Kind
from tidewatt_coordinator.pki.devicetrust import DeviceTrust
from tidewatt_coordinator.sleepwords import SleepWords
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth
from tidewatt_wire.sleeping import SleepState, signed_word
from tidewatt_wire.topics import DeviceTopic

NOW_MS = BEGIN_MS
TOPIC = str(DeviceTopic("f", "a", "sleep"))


def real_ms() -> int:
    """As certificates, which are of today, are judged."""
    return round(time.time() * 1000)


def word(
    state: Literal["asleep", "awake"] = "asleep", session: str = "s1", at_ms: int = 2, device: str = "a"
) -> SleepState:
    return SleepState(
        device=device, session=session, at_ms=at_ms, state=state, expires_at_ms=NOW_MS + 60_000, able=True,
        until_ms=NOW_MS + 50_000, resume_s=20.0,
    )  # fmt: skip


def birth(session: str) -> Birth:
    return Birth(device="a", session=session, epoch="e", at_ms=1, version="0", board="b", control="enforce")


class Office:
    """A coordinator's ears, beside a CA."""

    def __init__(self, folder: Path) -> None:
        self.pki = Pki(folder / "pki")
        self.trust = DeviceTrust(self.pki.ca, "", self.pki.register, real_ms)
        self.trust.read()
        self.fleet = Fleet(60_000)
        self.ingest = self.listening(SleepWords(self.trust, unsigned=False))
        self.fleet.born(birth("s1"), NOW_MS)

    def listening(self, words: SleepWords) -> Ingest:
        return Ingest(
            Connection("mqtt://127.0.0.1:1"), "f", self.fleet, self.pki.ledger, lambda: NOW_MS, words=words
        )

    def pem(self, name: str, kind: Kind = "device", at: dt.datetime | None = None) -> bytes:
        self.pki.certificate(kind, name, at=at)
        return (self.pki.path / f"{name}.pem").read_bytes()

    def signed(self, state: SleepState, by: str = "a", **more: Any) -> SleepState:
        pem = self.pem(by, **more)
        return signed_word(state, pem, pem)

    def hears(self, said: SleepState | bytes) -> str:
        """The device's status after this came on its topic."""
        self.ingest.take(TOPIC, said if isinstance(said, bytes) else encode(said))
        return self.fleet.status("a", NOW_MS)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.pki.ledger.close()


def altered(office: Office) -> SleepState:
    """Signed by the board, which signed something else."""
    said = office.signed(word(session="s0"))
    assert said.signed is not msgspec.UNSET
    payload = base64.b64encode(encode(word())).decode()
    return msgspec.structs.replace(said, signed=msgspec.structs.replace(said.signed, payload=payload))
