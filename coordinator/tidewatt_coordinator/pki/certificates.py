"""X.509 for a fleet: one CA, short certificates under it, one revocation list. Time is an argument."""

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: A server's certificate opens no connection, a client's serves none.
Kind = Literal["device", "coordinator", "router", "server"]
CA_DAYS = 3650
#: Clocks differ: what is made now is good for those that are behind by so much.
BACKDATED = dt.timedelta(minutes=5)
CA_BACKDATED = dt.timedelta(days=1)


class Authority(NamedTuple):
    """The fleet's CA."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Revoked(NamedTuple):
    """A certificate that is not to be believed any more."""

    serial: int
    at: dt.datetime


def new_key() -> ec.EllipticCurvePrivateKey:
    """An EC P-256 key: small, quick on a board, known to every TLS library."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(fleet: str, now: dt.datetime) -> Authority:
    """A CA for one fleet, which can sign certificates but no further CAs."""
    key = new_key()
    name = _name(f"Tidewatt CA of fleet {fleet}"[:64])
    start = now - CA_BACKDATED
    certificate = (
        _builder(name, name, key.public_key(), start, now + dt.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def new_certificate(
    authority: Authority,
    kind: Kind,
    names: Sequence[str],
    public_key: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    days: int,
) -> x509.Certificate:
    """A certificate in the first of `names`; of what its owner asked for, only the key is in it.

    A server's certificate carries all the names, host names or addresses, as alternatives.
    """
    issuer = authority.certificate
    end = min(now + dt.timedelta(days=days), issuer.not_valid_after_utc)
    serves = kind == "server"
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(names[0]), issuer.subject, public_key, now - BACKDATED, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if serves:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
    return builder.sign(authority.key, hashes.SHA256())


def new_revocation_list(
    authority: Authority,
    revoked: Iterable[Revoked],
    before: x509.CertificateRevocationList | None,
    now: dt.datetime,
) -> x509.CertificateRevocationList:
    """The list that replaces `before`.

    It never ends before the CA does: a list that expires would shut out the whole fleet on the day
    that nobody wrote a new one. Brokers hold old and new side by side and believe the one that began
    last, so it begins later than `before`, if by a second; backdated, as that may not be the future.
    """
    start = (now - BACKDATED).replace(microsecond=0)
    number = 1
    if before is not None:
        start = max(start, before.last_update_utc + dt.timedelta(seconds=1))
        number = before.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(start)
        .next_update(authority.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(one.at)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256())


def pem(certificate: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """As it stands in a file."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """As it stands in a file that nobody else may read."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def common_name(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Its subject's one common name; ValueError if it has another number of them."""
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
