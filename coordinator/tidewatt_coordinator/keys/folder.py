"""The signing keys as files: one PEM each, readable by its owner only, named for the key's id.

Every key in the folder signs. A retired one leaves its public half behind, ID.pub: it says that keys were
rotated once, and from then on every policy set tells devices which keys are left to trust. It lies beside
them, so that whoever copies the folder's files, as a Secret is made of them, copies that, too.
"""

import os
import stat
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tidewatt_wire.messages import TrustedKey
from tidewatt_wire.signing import Signer, signer

#: One in use and one to come.
MOST_KEYS = 2
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SigningKeyError(ValueError):
    """The keys can't be used, or not as asked; the sentence says why and what to do."""


class Listed(msgspec.Struct, frozen=True):
    """A key as a person is shown it."""

    id: str
    public: str
    signs: bool
    made_s: float
    """Unix seconds."""


class KeyFolder:
    """One folder of keys. Every look is at the disk, so a running coordinator notices what a command did."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def signers(self) -> list[Signer]:
        """The keys to sign with, by id; none if there are none. SigningKeyError for a bad one."""
        return [_read(path) for path in sorted(self._path.glob("*.pem"))]

    def told(self) -> list[TrustedKey]:
        """The keys that policy sets tell devices to trust: none until the first rotation began."""
        signers = self.signers()
        return [one.trusted for one in signers] if len(signers) > 1 or self._retired() else []

    def listed(self) -> list[Listed]:
        """All keys, the oldest first, the retired ones too."""
        files = [(path, _read(path).trusted.public, True) for path in self._path.glob("*.pem")]
        files += [(path, path.read_text("utf-8").strip(), False) for path in self._retired()]
        found = [Listed(path.stem, public, signs, path.stat().st_mtime) for path, public, signs in files]
        return sorted(found, key=lambda one: (one.made_s, one.id))

    def new(self) -> Signer:
        """The fleet's first key."""
        if present := self.signers():
            raise SigningKeyError(
                f"there is a key already, {present[0].id}; `tidewatt keys rotate` makes the next one"
            )
        return self._make()

    def rotate(self) -> Signer:
        """The next key, beside the present one: from now on both sign."""
        present = self.signers()
        if not present:
            raise SigningKeyError("there is no key to rotate; `tidewatt keys new` makes the first")
        if len(present) >= MOST_KEYS:
            names = " and ".join(one.id for one in present)
            raise SigningKeyError(
                f"a rotation is under way, {names} both sign: `tidewatt keys retire ID` ends it"
            )
        return self._make()

    def retire(self, name: str) -> Signer:
        """End a rotation: this key's private half is removed. Returns the one that is left."""
        present = self.signers()
        names = [one.id for one in present]
        if name not in names:
            raise SigningKeyError(f"no key {name!r} signs; there are: {', '.join(names) or 'none'}")
        if len(present) == 1:
            raise SigningKeyError(
                f"{name} is the only key: without one no policy can be published; "
                "`tidewatt keys rotate` makes the next one first"
            )
        gone = next(one for one in present if one.id == name)
        # Its public half first: what was interrupted between is a key that still signs, and can be retired.
        (self._path / f"{name}.pub").write_text(gone.trusted.public + "\n", "utf-8")
        (self._path / f"{name}.pem").unlink()
        return next(one for one in present if one.id != name)

    def _make(self) -> Signer:
        made = signer(Ed25519PrivateKey.generate())
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = made.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # Never readable by others, and never half there: a name that begins with a dot is no key.
        beside = self._path / f".{made.id}.new"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path / f"{made.id}.pem")
        return made

    def _retired(self) -> list[Path]:
        # Earlier releases kept them in a folder of their own.
        return sorted([*self._path.glob("*.pub"), *self._path.glob("retired/*.pub")])


def _read(path: Path) -> Signer:
    if path.stat().st_mode & OTHERS:
        raise SigningKeyError(f"{path}: others may read this private key; chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(f"{path}: no private key in PEM: {str(error).partition('.')[0]}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{path}: not an Ed25519 key; `tidewatt keys new` makes one")
    return signer(key)
