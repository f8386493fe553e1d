"""Public keys as people and messages write them: 32 bytes of Ed25519 in base64, and their ids.

Apart from signing.py, because whoever only reads a configuration needs no cryptography for it.
"""

import base64
import binascii
import hashlib

from tidewatt_wire.messages import TrustedKey

KEY_BYTES = 32
ID_DIGITS = 16


def key_id(public: bytes) -> str:
    """The id of a public key that was given no name: the first 16 hex digits of its sha256."""
    return hashlib.sha256(public).hexdigest()[:ID_DIGITS]


def trusted_key(public: str) -> TrustedKey:
    """The key in its base64; ValueError with one sentence if that is no Ed25519 public key."""
    return TrustedKey(id=key_id(public_bytes(public)), public=public.strip())


def public_bytes(public: str) -> bytes:
    """The 32 bytes of a public key in base64; ValueError with one sentence otherwise."""
    raw = from_base64(public.strip())
    if raw is None or len(raw) != KEY_BYTES:
        raise ValueError(
            f"{public.strip()[:60]!r} is no public key: one is 32 bytes in base64, which are 44 letters; "
            "`tidewatt keys list` prints them"
        )
    return raw


def to_base64(raw: bytes) -> str:
    """The bytes as base64 writes them."""
    return base64.b64encode(raw).decode()


def from_base64(text: str) -> bytes | None:
    """The bytes, None if `text` is not how base64 writes them: no spaces, no stray last bits."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if to_base64(raw) == text else None
