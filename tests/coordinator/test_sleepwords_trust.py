"""Whose certificates may sign words on sleep: of any PKI, as it is configured, and while files are broken."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.certified import CA, SINCE, UNTIL, edwards, named, paper, signed, written
from tests.listening import Office, altered, office, real_ms, word
from tests.secured import Pki

from tidewatt_coordinator.config import Config, Ledger, device_ca, parse_config
from tidewatt_coordinator.ledger.store import Ledger as Store
from tidewatt_coordinator.pki.certificates import new_key
from tidewatt_coordinator.pki.devicetrust import DeviceTrust
from tidewatt_coordinator.sleepwords import SleepWords, sleep_words
from tidewatt_wire.codec import Refused
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.sleeping import signed_word

__all__ = ["office"]  # the fixture


def ca_named(letters: str) -> x509.Name:
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
    key, own, ca = new_key(), new_key(), ca_named("Mxller")
    subject = named("a")
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
