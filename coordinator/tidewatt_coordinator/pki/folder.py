"""The CA's folder: who may read what, and files that are whole or not there."""

import contextlib
import os
import stat
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tidewatt_coordinator.pki.certificates import Authority, key_pem, pem

CA_KEY, CA_CERTIFICATE, REVOKED = "ca.key", "ca.crt", "crl.pem"


class FolderError(OSError):
    """The CA can't be used as it lies there; one sentence."""


class Folder:
    """Where the fleet's CA is kept. Private to its owner; only certificates and the list are for all."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def authority(self) -> Authority:
        """The CA. FolderError if there is none, or one that others could read."""
        file = self.path / CA_KEY
        try:
            if file.stat().st_mode & (stat.S_IRWXO | stat.S_IRWXG):
                raise FolderError(f"{file} is the CA's key and open to other users: chmod 600 {file}")
            key = load_pem_private_key(file.read_bytes(), password=None)
            certificate = self.certificate()
        except FileNotFoundError as error:
            raise FolderError(f"{error.filename} is not there; `tidewatt enroll ca` makes a CA") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise FolderError(f"{file} holds no key that can be read, or one with a password") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise FolderError(f"{file} is not the key of {self.path / CA_CERTIFICATE}")
        return Authority(certificate, key)

    def certificate(self) -> x509.Certificate:
        """The CA's certificate. FileNotFoundError, or ValueError for something else."""
        return x509.load_pem_x509_certificate((self.path / CA_CERTIFICATE).read_bytes())

    def begin(self, authority: Authority) -> None:
        """Keep a new CA. FolderError if one is there: to lose it would be to lose the fleet."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._give_away(self.path)
        key = self.path / CA_KEY
        if key.exists() or (self.path / CA_CERTIFICATE).exists():
            raise FolderError(f"{self.path} holds a CA already; move it away first if you mean to lose it")
        self.write(CA_KEY, key_pem(authority.key), 0o600)
        self.write(CA_CERTIFICATE, pem(authority.certificate), 0o644)

    def revocation_list(self) -> x509.CertificateRevocationList | None:
        """The one in force, None if there is none. FolderError for something else."""
        file = self.path / REVOKED
        try:
            return x509.load_pem_x509_crl(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise FolderError(f"{file} is no revocation list") from error

    def write(self, name: str, content: bytes, mode: int) -> Path:
        """Make `content` the file's: the old one stands until the new one is whole and on the disk."""
        path, beside = self.path / name, self.path / f"{name}.new"
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._give_away(beside)
        beside.replace(path)
        return path

    def _give_away(self, path: Path) -> None:
        # What root makes belongs to the service whose folder it lies in.
        if os.geteuid() == 0:
            owner = self.path.absolute().parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
