"""Signed policy sets and dispatch tables: the DSSE envelope, version 1, with Ed25519 signatures (ADR 0016).

    {"payloadType": ..., "payload": base64, "signatures": [{"keyid": ..., "sig": base64}, ...]}

What is signed is not the JSON but its pre-authentication encoding of type and payload
(github.com/secure-systems-lab/dsse, protocol.md), so there is nothing to canonicalise: a device
verifies the very bytes it got, and what it verified is what it then reads. The key id is a
hint that picks the key, never a proof.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from tidewatt_wire.codec import MAX_BYTES
from tidewatt_wire.keys import from_base64, key_id, public_bytes, to_base64
from tidewatt_wire.messages import Identifier, RefusalCode, TrustedKey
from tidewatt_wire.strangers import printable

if TYPE_CHECKING:
    # 7 MB resident, for a device that may never be sent anything signed: imported when it is.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.tidewatt.policy-set+json"
#: A signature is for one kind of payload: nobody can pass off a table as a policy set.
DISPATCH_TYPE = "application/vnd.tidewatt.dispatch-table+json"
HINT_TYPE = "application/vnd.tidewatt.sleep-hint+json"
PLAN_TYPE = "application/vnd.tidewatt.plan-hint+json"
WAKE_TYPE = "application/vnd.tidewatt.wake-order+json"
#: Two while a key is rotated; more than these are somebody's wish to keep the board busy.
MOST_SIGNATURES = 8
#: Base64 of the longest payload, and room for the signatures around it.
MAX_ENVELOPE_BYTES = (MAX_BYTES + 2) // 3 * 4 + 4096


class EnvelopeRefused(ValueError):
    """An envelope that was not opened, with the code to count and a sentence to log."""

    def __init__(self, code: RefusalCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code: RefusalCode = code


class Signer(msgspec.Struct, frozen=True):
    """A private key and the id that its signatures carry."""

    id: str
    private: "Ed25519PrivateKey"

    @property
    def trusted(self) -> TrustedKey:
        """Its public half, as devices are told of it."""
        return TrustedKey(id=self.id, public=to_base64(self.private.public_key().public_bytes_raw()))


class _Signature(msgspec.Struct, frozen=True):
    keyid: Identifier
    sig: str


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    payload_type: str
    payload: str
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=MOST_SIGNATURES)]


_DECODER = msgspec.json.Decoder(_Envelope)


def signer(private: "Ed25519PrivateKey", name: str = "") -> Signer:
    """The key as a signer, under `name` or, without one, its own id."""
    return Signer(name or key_id(private.public_key().public_bytes_raw()), private)


def seal(payload: bytes, signers: Sequence[Signer], kind: str = PAYLOAD_TYPE) -> bytes:
    """The envelope of `payload`, signed by every signer; ValueError without one, with too many, or too long.

    The same payload and keys give the same bytes.
    """
    if not 1 <= len(signers) <= MOST_SIGNATURES:
        raise ValueError(f"an envelope has 1 to {MOST_SIGNATURES} signatures, not {len(signers)}")
    if len(payload) > MAX_BYTES:
        raise ValueError(f"a payload of {len(payload)} bytes can't be sealed; at most {MAX_BYTES} are read")
    to_sign = pae(kind, payload)
    signatures = [_Signature(one.id, to_base64(one.private.sign(to_sign))) for one in signers]
    return msgspec.json.encode(_Envelope(kind, to_base64(payload), signatures))


def open_envelope(envelope: bytes, trusted: Sequence[TrustedKey], kind: str = PAYLOAD_TYPE) -> bytes:
    """The payload, if one of the signatures is good and by a trusted key; else EnvelopeRefused.

    What is wrong is looked for in this order: too_big, malformed, unknown_key, bad_signature.
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise EnvelopeRefused(
            "too_big", f"an envelope of {len(envelope)} bytes; at most {MAX_ENVELOPE_BYTES} are read"
        )
    found, payload = _read(envelope, kind)
    to_verify = pae(kind, payload)
    known = False
    for signature in found.signatures:
        for key in trusted:
            if signature.keyid in {key.id, key_id(public_bytes(key.public))}:
                known = True
                if _is_good(signature.sig, public_bytes(key.public), to_verify):
                    return payload
    named = ", ".join(printable(signature.keyid) for signature in found.signatures)
    if known:
        raise EnvelopeRefused("bad_signature", f"signed in the name of {named}, but not by that key")
    trusts = ", ".join(key.id for key in trusted) or "no key at all"
    raise EnvelopeRefused("unknown_key", f"signed with {named}; this device trusts {trusts}")


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: lengths in bytes, decimal, before the type and the payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _read(envelope: bytes, kind: str) -> tuple[_Envelope, bytes]:
    try:
        found = _DECODER.decode(envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EnvelopeRefused("malformed", f"not a signed envelope: {error}") from error
    if found.payload_type != kind:
        raise EnvelopeRefused(
            "malformed", f"an envelope of type {found.payload_type[:80]!r}; expected {kind!r}"
        )
    payload = from_base64(found.payload)
    if payload is None:
        raise EnvelopeRefused("malformed", "the envelope's payload is not base64")
    return found, payload


def _is_good(signature: str, public: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    raw = from_base64(signature)
    if raw is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, message)
    except (InvalidSignature, ValueError):
        return False
    return True
