"""What a stranger asks for: a signing request read with suspicion, and the proof of a present key."""

import base64
import binascii
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tidewatt_coordinator.pki.certificates import common_name
from tidewatt_wire.enrolment import check_device_name, to_be_signed

#: A version that nobody has made yet is no ValueError to cryptography.
_UNREADABLE = (ValueError, x509.InvalidVersion)


class Rejected(ValueError):
    """No certificate is made for this; one sentence."""


class Asked(NamedTuple):
    """A device and its key."""

    device: str
    key: ec.EllipticCurvePublicKey


def read_request(csr: str) -> Asked:
    """The device and its key. Rejected for a request that asks for anything else, or isn't one."""
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key, signed = request.public_key(), request.is_signature_valid
        extensions, subject = list(request.extensions), list(request.subject)
    except (*_UNREADABLE, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise Rejected("the signing request can't be read: PEM of a PKCS #10 request is expected") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Rejected("the signing request's key is not an EC P-256 key")
    if not signed:
        raise Rejected("the signing request is not signed with its own key")
    if extensions:
        asked = extensions[0].oid.dotted_string
        raise Rejected(f"the signing request asks for the extension {asked}; it may ask for none")
    if len(subject) != 1:
        raise Rejected("the signing request's subject must be one common name, the device's id")
    try:
        return Asked(check_device_name(common_name(request)), key)
    except ValueError as error:
        raise Rejected(f"the signing request's subject is no device's id: {str(error)[:200]}") from error


def read_certificate(text: str) -> x509.Certificate:
    """A certificate that somebody showed. Rejected if it is none."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except _UNREADABLE as error:
        raise Rejected("the present certificate can't be read: PEM is expected") from error


def check_proof(present: x509.Certificate, csr: str, signature: str) -> None:
    """Raise Rejected unless the owner of the present certificate's key asks for that of `csr`."""
    key = present.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Rejected("the present certificate's key is not an EC P-256 key")
    try:
        key.verify(base64.b64decode(signature, validate=True), to_be_signed(csr), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise Rejected("the request is not signed with the present certificate's key") from error
