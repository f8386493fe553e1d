"""A device's key and certificate: made here, kept in one file, so that the two always belong together."""

import base64
import contextlib
import datetime as dt
import os
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from tidewatt_link.durable import replace_file
from tidewatt_wire.enrolment import RENEW_AFTER, Enrolled, to_be_signed


class WrongAnswer(OSError):
    """The coordinator's answer is not what was asked for; one sentence."""


class Identity(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def device(self) -> str:
        """The name in it."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def renew_at(self) -> dt.datetime:
        """When the next one should be asked for."""
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return start + (end - start) * RENEW_AFTER

    def sign(self, csr: str) -> str:
        """The proof that the owner of this key asks for the certificate of `csr`, base64."""
        return base64.b64encode(self.key.sign(to_be_signed(csr), ec.ECDSA(hashes.SHA256()))).decode()

    def pem(self) -> bytes:
        """Certificate and key, as they stand in their file."""
        return self.certificate.public_bytes(serialization.Encoding.PEM) + self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key that never leaves this device: EC P-256, milliseconds on the slowest board."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(device: str, key: ec.EllipticCurvePrivateKey) -> str:
    """PEM of the request for a certificate in this name."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def answered(answer: Enrolled, device: str, key: ec.EllipticCurvePrivateKey) -> Identity:
    """The identity in the answer. WrongAnswer unless it is this device's, for this key, from the CA in it."""
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(answer.ca.encode()))
        identity = Identity(certificate, key)
        if identity.device != device or certificate.public_key() != key.public_key():
            raise WrongAnswer(f"the coordinator answered with a certificate that is not for {device}'s key")
    except (ValueError, TypeError, IndexError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise WrongAnswer("the coordinator answered with a certificate that is not from its CA") from error
    return identity


def read_identity(path: str) -> Identity:
    """What stands in the file. ValueError, one sentence, for one without certificate or key; OSError."""
    content = Path(path).read_bytes()
    try:
        certificate = x509.load_pem_x509_certificate(content)
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} does not hold both a certificate and its key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError(f"{path}: the key is not an EC key, or not this certificate's")
    return Identity(certificate, key)


def keep(path: Path, content: bytes, mode: int) -> None:
    """Make `content` the file's. What root writes belongs to the owner of the state folder, who renews it."""
    replace_file(path, content, mode)
    _give_away(path)


def folder(state: str) -> Path:
    """The folder of what was enrolled, made where it isn't. ValueError without a state folder; OSError."""
    if not state:
        raise ValueError("state.folder is empty: there is no place to keep the key in")
    made = Path(state, "identity")
    with contextlib.suppress(FileExistsError):
        made.mkdir(mode=0o700, parents=True)
        _give_away(made)
    if not os.access(made, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(made))
    return made


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
