"""Signed policy sets for tests: one key that is the fleet's, and one that is nobody's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tidewatt_wire.codec import encode
from tidewatt_wire.messages import PolicySet, Rule
from tidewatt_wire.signing import Signer, seal, signer

FLEETS_KEY, NEXT_KEY, FOREIGN_KEY = (
    signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in (1, 2, 3)
)
#: What a device that trusts the fleet's key has in its configuration.
PUBLIC = FLEETS_KEY.trusted.public


def sealed(policies: PolicySet, signers: Sequence[Signer] = (FLEETS_KEY,)) -> bytes:
    """The set in its envelope."""
    return seal(encode(policies), signers)


def sealed_rules(
    revision: int, rules: Sequence[Rule] = (), signers: Sequence[Signer] = (FLEETS_KEY,), **rest: Any
) -> bytes:
    """A set of these rules for the fleet f."""
    made = PolicySet(**{"fleet": "f", "issued_at_ms": 0, "rules": list(rules), "revision": revision, **rest})
    return sealed(made, signers)


def keep_key(folder: Path, key: Signer) -> None:
    """Lay a key down as a coordinator's, in its folder of keys."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{key.id}.pem"
    path.touch(0o600)
    path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
