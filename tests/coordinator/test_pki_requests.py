"""Hostile signing requests and certificates: each is refused in a sentence, and no bytes break the reader."""

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certified import named
from tests.secured import now

from tidewatt_coordinator.pki.asked import Rejected, read_certificate, read_request
from tidewatt_coordinator.pki.certificates import new_authority, new_key


def csr(
    build: Callable[[x509.CertificateSigningRequestBuilder], x509.CertificateSigningRequestBuilder],
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
) -> str:
    signer = key or new_key()
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = build(x509.CertificateSigningRequestBuilder()).sign(signer, digest)
    return made.public_bytes(serialization.Encoding.PEM).decode()


def as_csr(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def with_a_foreign_signature() -> str:
    text = csr(lambda b: b.subject_name(named("d1")))
    der = bytearray(base64.b64decode("".join(text.splitlines()[1:-1])))
    der[-1] ^= 1
    return as_csr(bytes(der))


def of_version(found: x509.Certificate | x509.CertificateSigningRequest, before: bytes) -> str:
    """The same of a version of X.509 that nobody has made yet; `before`: what stands before its number."""
    der = found.public_bytes(serialization.Encoding.DER)
    at = der.index(before) + len(before)
    text = base64.encodebytes(der[:at] + b"\x10" + der[at + 1 :]).decode()
    what = "CERTIFICATE REQUEST" if isinstance(found, x509.CertificateSigningRequest) else "CERTIFICATE"
    return f"-----BEGIN {what}-----\n{text}-----END {what}-----\n"


def csr_of_version_17() -> str:
    request = x509.load_pem_x509_csr(csr(lambda b: b.subject_name(named("d1"))).encode())
    return of_version(request, b"\x02\x01")


def test_a_certificate_of_another_version_is_refused() -> None:
    made = new_authority("f", now()).certificate
    with pytest.raises(Rejected, match="can't be read"):
        read_certificate(of_version(made, b"\xa0\x03\x02\x01"))


@pytest.mark.parametrize(
    ("request_of", "sentence"),
    [
        (lambda: csr(lambda b: b.subject_name(named("coordinator"))), "a name for coordinators"),
        (lambda: csr(lambda b: b.subject_name(named("coordinator-2"))), "a name for coordinators"),
        (lambda: csr(lambda b: b.subject_name(named("a/b"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("#"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("+"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("d1\n"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("d1", "d2"))), "one common name"),
        (lambda: csr(lambda b: b.subject_name(x509.Name([]))), "one common name"),
        (
            lambda: csr(
                lambda b: b.subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "d1")]))
            ),
            "no device's id",
        ),
        (
            lambda: csr(
                lambda b: b.subject_name(named("d1")).add_extension(
                    x509.SubjectAlternativeName([x509.DNSName("broker.example")]), critical=False
                )
            ),
            "asks for the extension 2.5.29.17",
        ),
        (
            lambda: csr(
                lambda b: b.subject_name(named("d1")).add_extension(
                    x509.BasicConstraints(ca=True, path_length=None), critical=True
                )
            ),
            "asks for the extension 2.5.29.19",
        ),
        (
            lambda: csr(lambda b: b.subject_name(named("d1")), rsa.generate_private_key(65537, 2048)),
            "not an EC P-256 key",
        ),
        (
            lambda: csr(lambda b: b.subject_name(named("d1")), ec.generate_private_key(ec.SECP384R1())),
            "not an EC P-256 key",
        ),
        (
            lambda: csr(lambda b: b.subject_name(named("d1")), ed25519.Ed25519PrivateKey.generate()),
            "not an EC P-256 key",
        ),
        (with_a_foreign_signature, "not signed with its own key"),
        (csr_of_version_17, "can't be read"),
        (lambda: "", "can't be read"),
        (
            lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "can't be read",
        ),
    ],
)
def test_hostile_requests(request_of: Callable[[], str], sentence: str) -> None:
    with pytest.raises(Rejected) as caught:
        read_request(request_of())
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(st.data())
def test_no_bytes_break_the_reader(data: st.DataObject) -> None:
    good = csr(lambda b: b.subject_name(named("d1")))
    der = bytearray(base64.b64decode("".join(good.splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        # The length of a signature varies, so the place is drawn without it.
        der[data.draw(st.integers(0, 10_000)) % len(der)] = data.draw(st.integers(0, 255))
    try:
        asked = read_request(as_csr(bytes(der)))
    except Rejected:
        return
    assert asked.device == "d1", "a changed request doesn't bear its signature"
