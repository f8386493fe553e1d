"""Certificates of any kind for tests, and words signed with them; the same keys give the same bytes."""

import datetime as dt
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tidewatt_wire.sleeping import SleepState, signed_word

SINCE = dt.datetime(2025, 1, 1, tzinfo=dt.timezone.utc)
UNTIL = dt.datetime(2099, 1, 1, tzinfo=dt.timezone.utc)


class Paper(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKeyTypes

    @property
    def pem(self) -> bytes:
        """Both, as they stand in one file."""
        return self.certificate_pem + self.key_pem()

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: bytes = b"") -> bytes:
        guard = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard
        )  # fmt: skip


def named(*names: str) -> x509.Name:
    """A subject of these common names."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def edwards(seed: int) -> ed25519.Ed25519PrivateKey:
    """A key whose signatures are always the same."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def paper(name: str, key: Any, by: Paper | None = None, serial: int = 1) -> Paper:
    """A client's certificate in this name, or a CA's without `by`."""
    subject = named(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by:
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(uses, critical=True)
    signing: Any = by.key if by else key
    plain = isinstance(signing, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return Paper(builder.sign(signing, None if plain else hashes.SHA256()), key)


def der(kind: int, content: bytes) -> bytes:
    """One element; `cryptography` encodes none that aren't its own."""
    length = len(content)
    long = length.to_bytes(2, "big") if length > 255 else bytes([length])
    return bytes([kind]) + (bytes([0x80 | len(long)]) + long if length > 127 else long) + content


def written(content: bytes, signature: bytes) -> bytes:
    """DER of a certificate with a CA's signature by ECDSA and SHA-256."""
    return der(0x30, content + bytes.fromhex("300a06082a8648ce3d040302") + der(3, b"\0" + signature))


CA = paper("CA of fleet berlin", edwards(7))
ROOF_3 = paper("roof-3", edwards(8), CA, serial=3)


def signed(state: SleepState, by: Paper = ROOF_3) -> SleepState:
    """The word as this one's owner says it."""
    return signed_word(state, by.pem, by.pem)
