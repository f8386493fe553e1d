"""What a device signs with the key of the certificate by which it connects: a DSSE envelope of one signature
with that certificate beside it, so that whoever knows the CA needs to have kept none (ADR 0030).

    {"payloadType": ..., "payload": base64,
     "signatures": [{"keyid": the certificate's SHA-256, "sig": base64, "cert": base64 of its DER}]}

Keys are EC (ECDSA), RSA of 2048 to 8192 bits (PSS), both with SHA-256, or Ed25519; keys that have a
password, lie in hardware, or are of another kind sign nothing. Whose the certificate is, and whether it may
be believed, is for the reader to judge: here it only has to fit the signature.
"""

from typing import TYPE_CHECKING, Annotated

import msgspec

from tidewatt_wire.codec import RefusalReason, Refused
from tidewatt_wire.enrolment import fingerprint
from tidewatt_wire.keys import from_base64, to_base64
from tidewatt_wire.signing import pae

if TYPE_CHECKING:
    # 7 MB resident, for a device that may never sign anything: imported when it does.
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

SLEEP_TYPE = "application/vnd.tidewatt.sleep-state+json"
#: Bytes of a payload: a word on sleep is half a kilobyte, with a nap that ended badly two.
MOST_PAYLOAD = 16_384
#: Bytes of a certificate: ours have 430, one with many names and an RSA key of 8192 bits 4,000.
MOST_CERTIFICATE = 8_192
#: Bits of an RSA key: below it isn't safe, beyond it verifying would keep a coordinator busy.
LEAST_RSA, MOST_RSA = 2048, 8192
_MOST_SIGNATURE = MOST_RSA // 8


def _base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


class CertifiedSignature(msgspec.Struct, frozen=True):
    """A signature, and the certificate that says whose it is."""

    keyid: Annotated[str, msgspec.Meta(max_length=64)]
    """The certificate's SHA-256, in hexadecimal digits. For people: no proof, and not needed to verify."""
    sig: Annotated[str, msgspec.Meta(max_length=_base64_length(_MOST_SIGNATURE))]
    """Base64, over DSSE's pre-authentication encoding of type and payload."""
    cert: Annotated[str, msgspec.Meta(max_length=_base64_length(MOST_CERTIFICATE))]
    """Base64 of the certificate in DER."""


class CertifiedEnvelope(msgspec.Struct, frozen=True, rename="camel"):
    """A payload that its device has signed."""

    payload_type: Annotated[str, msgspec.Meta(max_length=127)]
    payload: Annotated[str, msgspec.Meta(max_length=_base64_length(MOST_PAYLOAD))]
    """Base64 of the very bytes that were signed."""
    signatures: Annotated[list[CertifiedSignature], msgspec.Meta(min_length=1, max_length=1)]


def certify(payload: bytes, certificate: bytes, key: bytes, kind: str) -> CertifiedEnvelope:
    """The payload, signed. `certificate` and `key` are PEM, perhaps both the same file's content.

    ValueError, one sentence, for what signs nothing and for what nobody would read.
    """
    from cryptography import x509  # noqa: PLC0415 - see above
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key  # noqa: PLC0415

    try:
        shown, private = x509.load_pem_x509_certificate(certificate), load_pem_private_key(key, None)
        belongs = private.public_key() == shown.public_key()
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError("there is no PEM certificate with its key, or the key has a password") from error
    if not belongs:
        raise ValueError("the key is not the certificate's")
    der = shown.public_bytes(Encoding.DER)
    if len(payload) > MOST_PAYLOAD or len(der) > MOST_CERTIFICATE:
        raise ValueError(
            f"{len(payload)} bytes with a certificate of {len(der)}; at most {MOST_PAYLOAD} and "
            f"{MOST_CERTIFICATE} are read"
        )
    signed = _sign(private, pae(kind, payload))
    return CertifiedEnvelope(
        kind, to_base64(payload), [CertifiedSignature(fingerprint(der), to_base64(signed), to_base64(der))]
    )


def certificate_in(envelope: CertifiedEnvelope) -> "x509.Certificate":
    """The certificate beside the signature; Refused if there is none."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.utils import CryptographyDeprecationWarning  # noqa: PLC0415

    der = from_base64(envelope.signatures[0].cert)
    try:
        return x509.load_der_x509_certificate(der or b"")
    # A warning where warnings are errors: what later versions will refuse, such as a serial number below 0.
    except (ValueError, x509.InvalidVersion, CryptographyDeprecationWarning) as error:
        raise Refused(RefusalReason.MALFORMED, "the envelope's certificate can't be read") from error


def payload_in(envelope: CertifiedEnvelope, certificate: "x509.Certificate", kind: str) -> bytes:
    """The payload, if it is of this kind and signed with the certificate's key; else Refused."""
    if envelope.payload_type != kind:
        raise Refused(
            RefusalReason.MALFORMED, f"an envelope of type {envelope.payload_type!r}; expected {kind!r}"
        )
    payload, signature = from_base64(envelope.payload), from_base64(envelope.signatures[0].sig)
    if payload is None or signature is None:
        raise Refused(RefusalReason.MALFORMED, "the envelope's payload or signature is not base64")
    if not _is_good(certificate, signature, pae(kind, payload)):
        raise Refused(
            RefusalReason.BAD_SIGNATURE, "the word is not signed with the key of the certificate beside it"
        )
    return payload


def _sign(private: "PrivateKeyTypes", message: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(message, ec.ECDSA(SHA256()))
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(message)
    if isinstance(private, rsa.RSAPrivateKey) and LEAST_RSA <= private.key_size <= MOST_RSA:
        return private.sign(message, PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH), SHA256())
    raise ValueError(f"a key can sign if it is EC, Ed25519, or RSA of {LEAST_RSA} to {MOST_RSA} bits")


def _is_good(certificate: "x509.Certificate", signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    try:
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, rsa.RSAPublicKey) and LEAST_RSA <= key.key_size <= MOST_RSA:
            key.verify(signature, message, PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH), SHA256())
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
