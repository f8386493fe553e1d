"""The board's word as it leaves: signed where the board has a certificate, by the one that is there now."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.agent.test_link import BIRTH, listening
from tests.certified import CA, ROOF_3, edwards, paper
from tests.world import Mosquitto, ignore, until

from tidewatt_agent.link import Link
from tidewatt_agent.sleeping.word import Words
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.brokers import Credentials
from tidewatt_wire.certified import CertifiedEnvelope, certificate_in
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.sleeping import SleepState, word_in

WORD = SleepState(device="roof-3", session="s1", at_ms=1, state="awake")


def read(sealed: bytes) -> tuple[SleepState, int]:
    """What was signed, and the serial number of the certificate."""
    said = decode(SleepState, sealed).signed
    assert isinstance(said, CertifiedEnvelope)
    certificate = certificate_in(said)
    return word_in(said, certificate), certificate.serial_number


def test_it_is_signed_with_the_certificate_that_is_there_now(tmp_path: Path) -> None:
    file = tmp_path / "device.pem"
    file.write_bytes(ROOF_3.pem)
    words = Words(Credentials(certificate=str(file)))
    assert read(words.sealed(WORD)) == (WORD, 3)
    file.write_bytes(paper("roof-3", edwards(9), CA, serial=4).pem)
    assert read(words.sealed(WORD)) == (WORD, 4), "renewed meanwhile"


def test_the_key_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(ROOF_3.certificate_pem + CA.certificate_pem)
    (tmp_path / "k.pem").write_bytes(ROOF_3.key_pem())
    shown = Credentials(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem"))
    assert read(Words(shown).sealed(WORD)) == (WORD, 3)


def test_without_a_certificate_it_is_said_as_it_is_and_nothing_is_loaded_for_it() -> None:
    program = (
        "import sys; from tidewatt_agent.sleeping.word import Words; from tidewatt_wire.codec import encode;"
        "from tidewatt_wire.brokers import Credentials; from tidewatt_wire.sleeping import SleepState;"
        "w = SleepState(device='d', session='s', at_ms=1, state='awake');"
        "assert Words(Credentials()).sealed(w) == encode(w); assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_what_can_not_sign_says_it_all_the_same_and_warns_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "device.pem"
    words = Words(Credentials(certificate=str(file)))
    assert [words.sealed(WORD), words.sealed(WORD)] == [encode(WORD)] * 2
    assert len(caplog.records) == 1
    assert "No such file" in caplog.text
    file.write_bytes(CA.certificate_pem + ROOF_3.key_pem())
    assert words.sealed(WORD) == encode(WORD)
    assert len(caplog.records) == 2
    assert "the key is not the certificate's" in caplog.text
    file.write_bytes(ROOF_3.pem)
    assert read(words.sealed(WORD)) == (WORD, 3)


async def test_the_link_says_what_is_sealed_for_its_session(mosquitto: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "device.pem").write_bytes(ROOF_3.pem)
    words = Words(Credentials(certificate=str(tmp_path / "device.pem")))
    link = Link(Connection(mosquitto.url), "f", lambda: BIRTH, ignore, sealed=words.sealed)
    async with listening(mosquitto.address) as (ear, _):
        task = asyncio.create_task(link.run())
        link.say(lambda session: SleepState(device="d1", session=session, at_ms=1, state="awake"))
        await until(lambda: ear.of("sleep"))
        await ended(task)
    state, _ = read(ear.of("sleep")[0])
    assert (state.device, state.session) == ("d1", BIRTH.session)
