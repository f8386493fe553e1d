"""A board's word on its sleep is believed if the board signed it; what else comes is not, and is told of."""

import base64
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.certified import CA, SINCE, UNTIL, edwards, paper, signed, written
from tests.hinted import BEGIN_MS
from tests.secured import LONG_AGO, Pki, now

from tidewatt_coordinator.config import Config, Ledger, device_ca, parse_config
from tidewatt_coordinator.fleet import MOST_PAST, Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.intake import in_quarantine
from tidewatt_coordinator.ledger.store import Ledger as Store
from tidewatt_coordinator.pki.certificates import Kind, new_authority, new_certificate, new_key
from tidewatt_coordinator.pki.devicetrust import DeviceTrust
from tidewatt_coordinator.sleepwords import SleepWords, sleep_words
from tidewatt_coordinator.web.view import _sleep
from tidewatt_link.connection import Connection
from tidewatt_wire.certified import SLEEP_TYPE, certify
from tidewatt_wire.codec import MAX_BYTES, Refused, encode
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import Birth
from tidewatt_wire.signing import HINT_TYPE
from tidewatt_wire.sleeping import SleepState, signed_word
from tidewatt_wire.topics import DeviceTopic

NOW_MS = BEGIN_MS
TOPIC = str(DeviceTopic("f", "a", "sleep"))


def real_ms() -> int:
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


def test_a_boards_own_word_is_believed_and_kept_without_its_signature(office: Office) -> None:
    said = office.signed(word())
    assert office.hears(said) == "asleep"
    assert office.fleet.devices["a"].sleep == word()
    assert (office.ingest.refused, office.ingest.messages) == ({}, {"sleep": 1})
    assert office.hears(office.signed(word("awake", at_ms=3))) == "online"


def test_what_was_signed_counts_and_not_what_stands_beside_it(office: Office) -> None:
    said = msgspec.structs.replace(office.signed(word()), state="awake", expires_at_ms=2**52)
    assert office.hears(said) == "asleep"
    assert office.fleet.devices["a"].sleep == word()


def forged_by_another(office: Office) -> SleepState:
    return office.signed(word(), by="b")


def said_of_another(office: Office) -> SleepState:
    said = office.signed(word(device="b"))
    return msgspec.structs.replace(said, device="a")


def unsigned(_office: Office) -> SleepState:
    return word()


def expired(office: Office) -> SleepState:
    return office.signed(word(), at=LONG_AGO)


def not_yet(office: Office) -> SleepState:
    return office.signed(word(), at=now() + dt.timedelta(days=2))


def revoked(office: Office) -> SleepState:
    said = office.signed(word())
    office.pki.register.revoke("a", real_ms())
    office.trust.look()
    return said


def of_a_server(office: Office) -> SleepState:
    return office.signed(word(), kind="server")


def of_a_ca_of_the_same_name(_office: Office) -> SleepState:
    key, authority = new_key(), new_authority("f", now())
    made = new_certificate(authority, "device", ["a"], key.public_key(), now(), 7)
    pem = paper("a", key)._replace(certificate=made).pem
    return signed_word(word(), pem, pem)


def signed_by_itself(_office: Office) -> SleepState:
    return signed(word(), paper("a", ec.generate_private_key(ec.SECP256R1())))


def altered(office: Office) -> SleepState:
    said = office.signed(word(session="s0"))
    assert said.signed is not msgspec.UNSET
    payload = base64.b64encode(encode(word())).decode()
    return msgspec.structs.replace(said, signed=msgspec.structs.replace(said.signed, payload=payload))


def of_another_kind(office: Office) -> SleepState:
    pem = office.pem("a")
    return msgspec.structs.replace(word(), signed=certify(encode(word()), pem, pem, HINT_TYPE))


def revoked_in_another_hand(office: Office) -> SleepState:
    """The CA's signature by ECDSA, written in the other way that is as good."""
    said = office.signed(word())
    assert not isinstance(said.signed, msgspec.UnsetType)
    (signature,) = said.signed.signatures
    certificate = x509.load_der_x509_certificate(base64.b64decode(signature.cert))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    one, other = decode_dss_signature(certificate.signature)
    rewritten = written(certificate.tbs_certificate_bytes, encode_dss_signature(one, order - other))
    office.pki.register.revoke("a", real_ms())
    office.trust.look()
    again = msgspec.structs.replace(signature, cert=base64.b64encode(rewritten).decode())
    return msgspec.structs.replace(said, signed=msgspec.structs.replace(said.signed, signatures=[again]))


def of_another_major_version(office: Office) -> SleepState:
    pem = office.pem("a")
    payload = encode(word()).replace(b'"1.', b'"9.')
    return msgspec.structs.replace(word(), signed=certify(payload, pem, pem, SLEEP_TYPE))


@pytest.mark.parametrize(
    ("forge", "reason", "sentence"),
    [
        (unsigned, "unsigned", "the word of a on its sleep isn't signed"),
        (forged_by_another, "wrong_topic", "signed with the certificate of 'b', not of 'a'"),
        (said_of_another, "wrong_topic", "a signed a word of 'b', which it isn't"),
        (expired, "expired_certificate", "UTC, which isn't now"),
        (not_yet, "expired_certificate", "UTC, which isn't now"),
        (revoked, "revoked_certificate", "the certificate of 'a' has been revoked"),
        (revoked_in_another_hand, "revoked_certificate", "the certificate of 'a' has been revoked"),
        (of_a_server, "foreign_certificate", "the certificate of 'a' is not one for clients"),
        (of_a_ca_of_the_same_name, "foreign_certificate", "with a certificate of no CA in"),
        (signed_by_itself, "foreign_certificate", "with a certificate of no CA in"),
        (altered, "bad_signature", "not signed with the key of the certificate beside it"),
        (of_another_kind, "malformed", "expected 'application/vnd.tidewatt.sleep-state+json'"),
        (of_another_major_version, "unknown_major", "this side reads version 1"),
    ],
)
async def test_what_is_not_its_own_word_is_refused_told_and_kept_aside(
    office: Office,
    caplog: pytest.LogCaptureFixture,
    forge: Callable[[Office], SleepState],
    reason: str,
    sentence: str,
) -> None:
    said = forge(office)
    assert office.hears(said) == "online", "not asleep"
    assert office.hears(said) == "online"
    assert office.ingest.refused == {reason: 2}
    assert office.ingest.messages == {}
    (told,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert sentence in told
    assert "\n" not in told
    await office.ingest.merge()
    (aside,) = in_quarantine(office.pki.ledger, "a")
    assert (aside.code, aside.message) == ("unproven", encode(said).decode())
    assert sentence in aside.reason
    assert office.ingest.intake.quarantined == {"unproven": 2}


async def test_what_is_too_big_or_no_envelope_is_kept_aside_unread(office: Office) -> None:
    said = encode(office.signed(word()))
    huge = said.replace(b'"payload":"', b'"payload":"' + b"A" * 30_000)
    for payload in (huge, said.replace(b'"signatures":[', b'"signatures":7,"x":['), said[:-1]):
        assert office.hears(payload) == "online"
    assert office.ingest.refused == {"invalid": 2, "malformed": 1}
    assert office.hears(b" " * (MAX_BYTES + 1)) == "online"
    assert office.hears(b"") == "online"
    assert office.ingest.refused == {"invalid": 2, "too_big": 1, "malformed": 2}
    await office.ingest.merge()
    assert [one.code for one in in_quarantine(office.pki.ledger, "a")] == ["unreadable"] * 4, "'' takes back"


def test_a_nap_that_is_over_is_not_dreamt_again(office: Office) -> None:
    began, woken = office.signed(word(at_ms=10)), office.signed(word("awake", at_ms=11))
    assert office.hears(began) == "asleep"
    assert office.hears(woken) == "online"
    assert office.hears(began) == "online", "the broker plays the same session's older word again"
    assert office.ingest.refused == {"replayed": 1}
    assert office.fleet.devices["a"].unproven is None, "it is the board's own, and nothing new"
    assert office.ingest.intake.unread == []
    assert office.hears(woken) == "online"
    assert office.hears(office.signed(word(at_ms=12))) == "asleep", "the next nap is another"
    assert office.ingest.refused == {"replayed": 1}


@pytest.mark.parametrize("forged", [0, 2 * MOST_PAST])
def test_nor_with_the_birth_of_its_session(office: Office, forged: int) -> None:
    began = office.signed(word(at_ms=10))
    assert office.hears(began) == "asleep"
    office.fleet.born(birth("s2"), NOW_MS)
    assert office.hears(office.signed(word("awake", "s2", at_ms=20))) == "online"
    for number in range(forged):
        office.fleet.born(birth(f"forged{number}"), NOW_MS)
    office.fleet.born(birth("s1"), NOW_MS)
    assert office.hears(began) == "online", "births aren't signed, and bring no nap back"
    assert office.ingest.refused == {"replayed": 1}


def test_a_word_that_claims_nothing_is_not_kept_aside(office: Office) -> None:
    """As the broker may hold of a board that once was allowed to sleep, and says nothing any more."""
    said = msgspec.structs.replace(word("awake"), able=False)
    assert office.hears(said) == "online"
    assert office.ingest.refused == {"unsigned": 1}
    assert office.fleet.devices["a"].unproven is None
    assert office.ingest.intake.unread == []


def test_an_agent_that_promises_no_order_is_taken_by_its_last_word() -> None:
    fleet = Fleet(60_000)
    fleet.born(birth("s1"), NOW_MS)
    fleet.slumbered(word("awake", at_ms=10**12), numbered=False)
    assert fleet.slumbered(word("asleep", at_ms=5), numbered=False), "its clock was set back"


def named(letters: str) -> x509.Name:
    both = [(NameOID.ORGANIZATION_NAME, letters), (NameOID.COMMON_NAME, "CA")]
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in both])


def made(subject: x509.Name, by: x509.Name, key: Any, signing: Any, **more: Any) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(key.public_key())
        .serial_number(77).not_valid_before(SINCE).not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(ca=subject == by, path_length=None), critical=True)
    )  # fmt: skip
    for extension in more.get("extensions", ()):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signing, hashes.SHA256())


@pytest.mark.parametrize("odd", ["a name of a kind that nobody uses", "a CA with a name in Latin-1"])
def test_a_strange_certificate_of_the_ca_ends_no_ear(tmp_path: Path, office: Office, odd: str) -> None:
    key, own, ca = new_key(), new_key(), named("Mxller")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    x400 = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3004a3023000"))
    latin = "Latin" in odd

    def shown(one: x509.Certificate) -> bytes:
        if not latin:
            return one.public_bytes(Encoding.PEM)
        content = one.tbs_certificate_bytes.replace(b"\x0c\x06Mxller", b"\x14\x06M\xfcller")
        raw = written(content, key.sign(content, ec.ECDSA(hashes.SHA256())))
        return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(raw) + b"-----END CERTIFICATE-----\n"

    file = tmp_path / "odd.crt"
    file.write_bytes(shown(made(ca, ca, key, key)))
    leaf = shown(made(subject, ca, own, key, extensions=() if latin else (x400,)))
    trust = DeviceTrust(str(file), "", office.pki.register, real_ms)
    trust.read()
    office.ingest = office.listening(SleepWords(trust, unsigned=False))
    private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    expected = "asleep" if latin else "online"
    assert office.hears(signed_word(word(), leaf, private)) == expected
    assert office.ingest.refused == ({} if latin else {"foreign_certificate": 1})


def test_a_clock_that_was_set_back_between_sessions_hides_nothing(office: Office) -> None:
    assert office.hears(office.signed(word("awake", at_ms=10**12))) == "online"
    office.fleet.born(birth("s2"), NOW_MS)
    assert office.hears(office.signed(word("asleep", "s2", at_ms=5))) == "asleep"


def test_forgeries_change_nothing_of_what_is_believed(office: Office) -> None:
    assert office.hears(office.signed(word())) == "asleep"
    assert office.hears(word("awake", at_ms=9)) == "asleep"
    assert office.hears(forged_by_another(office)) == "asleep"
    assert office.fleet.devices["a"].sleep == word()
    assert office.ingest.refused == {"unsigned": 1, "wrong_topic": 1}


def test_the_page_says_why_a_word_is_not_believed_until_one_is(office: Office) -> None:
    device = office.fleet.devices["a"]
    assert _sleep(device, "online")["sleeps"] is None
    office.hears(word("awake"))
    assert "its word on its sleep is not believed: the word of a" in _sleep(device, "online")["sleeps"]
    office.hears(office.signed(word("awake")))
    assert _sleep(device, "online")["sleeps"] == ""
    office.ingest.take(str(DeviceTopic("f", "nobody", "sleep")), encode(word(device="nobody")))
    assert set(office.fleet.devices) == {"a"}, "a forged word makes no device"


def test_any_word_is_believed_where_no_ca_is_known_and_where_that_is_set(office: Office) -> None:
    office.ingest = office.listening(SleepWords())
    assert office.hears(word()) == "asleep", "no certificates at all"
    assert office.hears(signed(word("awake", at_ms=3))) == "online", "by whom can't be known"
    assert office.fleet.devices["a"].sleep == word("awake", at_ms=3)

    office.ingest = office.listening(SleepWords(office.trust, unsigned=True))
    assert office.hears(word(at_ms=4)) == "asleep", "an agent of the version before"
    assert office.hears(office.signed(word("awake", at_ms=5))) == "online"
    assert office.hears(altered(office)) == "online"
    assert office.ingest.refused == {"bad_signature": 1}, "a signature that is there must be good"


def test_a_list_of_another_pki_revokes(tmp_path: Path, office: Office) -> None:
    pem, other = office.pem("a"), Pki(tmp_path / "other")
    said = signed_word(word(), pem, pem)
    office.pki.revoke("a")
    # Its CA has no register of ours, but a list.
    listed = DeviceTrust(office.pki.ca, str(office.pki.path / "crl.pem"), other.register, real_ms)
    listed.read()
    with pytest.raises(Refused, match="has been revoked"):
        SleepWords(listed, unsigned=False).believed("a", said)
    for file in (other.path / "crl.pem", other.path / "ca.crt"):
        with pytest.raises(ValueError, match="no revocation list, or one that no CA of devices has signed"):
            DeviceTrust(office.pki.ca, str(file), other.register, real_ms).read()
    other.ledger.close()


def test_another_kind_of_pki_is_as_good(tmp_path: Path, office: Office) -> None:
    file = tmp_path / "cas.pem"
    file.write_bytes(CA.pem + (office.pki.path / "ca.crt").read_bytes())
    trust = DeviceTrust(str(file), "", office.pki.register, real_ms)
    trust.read()
    words = SleepWords(trust, unsigned=False)
    assert words.believed("a", office.signed(word())) == word()
    assert words.believed("a", signed(word(), paper("a", edwards(9), CA))) == word()
    leaf = paper("a", edwards(9), CA)
    below = paper("a", edwards(10), leaf)
    file.write_bytes(leaf.pem)
    with pytest.raises(ValueError, match="holds no CA's certificate"):
        trust.read()
    with pytest.raises(Refused, match="of no CA in"):
        words.believed("a", signed(word(), below))


def test_what_is_trusted_stays_while_it_can_not_be_read(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    said = office.signed(word())
    ca = office.pki.path / "ca.crt"
    kept = ca.read_bytes()
    ca.write_bytes(b"half a file")
    office.trust.look()
    office.trust.look()
    assert [one.getMessage().partition(": ")[2] for one in caplog.records] == [
        f"{ca} holds no PEM certificates"
    ]
    assert office.hears(said) == "asleep"
    ca.write_bytes(CA.pem)
    office.trust.look()
    assert office.hears(office.signed(word("awake", at_ms=3))) == "asleep", "another CA holds from now on"
    ca.write_bytes(kept)


@pytest.mark.parametrize(
    ("document", "ca"),
    [
        ("", ""),
        ('[broker]\nurl = "mqtts://b:8883"\nca = "b.crt"', ""),
        ('[broker]\nurl = "mqtts://b:8883"\nca = "b.crt"\ncertificate = "c.pem"', "b.crt"),
        ('[broker]\nurl = "mqtts://b:8883"\ncertificate = "c.pem"', ""),
        ('[enroll]\nlisten = "127.0.0.1:8443"', "pki/ca.crt"),
        ('[enroll]\nlisten = "127.0.0.1:8443"\n[sleep]\nca = "ours.crt"', "ours.crt"),
    ],
)
def test_whose_certificates_are_devices(document: str, ca: str) -> None:
    assert device_ca(parse_config(document, name="c")) == ca


def test_signed_words_need_a_ca() -> None:
    with pytest.raises(DocumentError, match=r"needs the CA of the boards' certificates: set sleep\.ca"):
        parse_config('[sleep]\nwords = "signed"', name="c")
    parse_config('[sleep]\nwords = "signed"\nca = "x"', name="c")


def test_as_it_is_configured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pki = Pki(tmp_path / "pki")
    door = f'[enroll]\nlisten = "127.0.0.1:8443"\nfolder = "{pki.path}"\n'
    store: Store = pki.ledger
    believes: dict[str, bool] = {}
    for setting in ("auto", "signed", "any"):
        words = sleep_words(parse_config(f'{door}[sleep]\nwords = "{setting}"', name="c"), store.engine)
        assert words.trust
        try:
            believes[setting] = words.believed("a", word()) == word()
        except Refused:
            believes[setting] = False
    assert believes == {"auto": False, "signed": False, "any": True}
    assert sleep_words(Config(ledger=Ledger()), store.engine).trust is None

    lost = f'[sleep]\nca = "{tmp_path / "nothing.crt"}"'
    with pytest.raises(FileNotFoundError):
        sleep_words(parse_config(lost, name="c"), store.engine)
    with pytest.raises(DocumentError, match="holds no PEM certificates"):
        sleep_words(parse_config(f'[sleep]\nca = "{tmp_path / "pki/ca.key"}"', name="c"), store.engine)
    door = door.replace(str(pki.path), str(tmp_path))
    caplog.clear()
    words = sleep_words(parse_config(door, name="c"), store.engine)
    assert "No such file" in caplog.text
    with pytest.raises(Refused):
        words.believed("a", word())
    store.close()
