"""Whose certificates stand for devices beyond the broker's door: by their CA, their time, their name, and by
what was revoked. Files and database are read beside the event loop, now and then; to ask costs one signature.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.pki.certificates import common_name
from tidewatt_coordinator.pki.register import Register, serial_of
from tidewatt_wire.codec import RefusalReason, Refused
from tidewatt_wire.units import MILLISECONDS_PER_SECOND

log = logging.getLogger(__name__)

#: Real seconds between two looks at files and database: a certificate that was revoked counts for so long.
LOOK_S = 30.0

_END = b"-----END X509 CRL-----"
#: What looking at a strange certificate or list may raise; not all of it is a ValueError.
_STRANGE = (
    ValueError, TypeError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip
_FOREIGN, _EXPIRED = RefusalReason.FOREIGN_CERTIFICATE, RefusalReason.EXPIRED_CERTIFICATE


class Trusted(NamedTuple):
    """What is gone by."""

    cas: tuple[x509.Certificate, ...] = ()
    listed: frozenset[tuple[bytes, int]] = frozenset()
    """The CA's fingerprint and the serial number of what a revocation list names."""
    registered: frozenset[str] = frozenset()
    """Serial numbers of what the register says is revoked."""


class DeviceTrust:
    """Which certificates are devices'. `run` never ends by itself."""

    def __init__(self, ca: str, revoked: str, register: Register, now_ms: Callable[[], int]) -> None:
        """`ca`, `revoked`: PEM files of CAs and of their revocation lists; no second one: empty.

        `now_ms`: real time, as TLS has it. Nobody is trusted before the first look.
        """
        self._ca, self._revoked, self._register, self._now_ms = ca, revoked, register, now_ms
        self._failing = ""
        self._trusted = Trusted()

    def check(self, certificate: x509.Certificate, device: str) -> None:
        """Raise Refused unless it is this device's and good now."""
        try:
            self._check(certificate, device)
        except Refused:
            raise
        except _STRANGE as error:
            raise Refused(_FOREIGN, f"the certificate of {device} has no name, or strange parts") from error

    def _check(self, certificate: x509.Certificate, device: str) -> None:
        trusted, now = self._trusted, self._now()
        issuer = next((one for one in trusted.cas if _issued(certificate, one)), None)
        if issuer is None:
            raise Refused(_FOREIGN, f"signed as {device} with a certificate of no CA in {self._ca}")
        name, uses = common_name(certificate), _uses(certificate)
        if name != device:
            raise Refused(
                RefusalReason.WRONG_TOPIC, f"signed with the certificate of {name[:63]!r}, not of {device!r}"
            )
        if uses is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in uses:
            raise Refused(_FOREIGN, f"the certificate of {name!r} is not one for clients")
        for one in (certificate, issuer):
            if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
                raise Refused(
                    _EXPIRED,
                    f"a certificate for {name!r} is good from {one.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                    f"{one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, which isn't now",
                )
        if _is_revoked(certificate, issuer, trusted):
            raise Refused(RefusalReason.REVOKED_CERTIFICATE, f"the certificate of {name!r} has been revoked")

    async def run(self) -> None:
        """Look at files and database for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read files and database anew. What can't be read stays as it was; the first failure is logged."""
        try:
            self.read()
        except (OSError, ValueError, SQLAlchemyError) as error:
            why = str(error).partition("\n")[0]
            if why != self._failing:
                log.error("which certificates are devices' stays as it was: %s", why)  # noqa: TRY400
            self._failing = why
        else:
            self._failing = ""

    def read(self) -> None:
        """Read files and database anew; OSError, ValueError or what the database raises, and all stays."""
        files = in_files(self._ca, self._revoked)
        self._trusted = files._replace(registered=self._register.revoked(self._now_ms()))

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._now_ms() / MILLISECONDS_PER_SECOND, dt.timezone.utc)


def in_files(ca: str, revoked: str) -> Trusted:
    """What PEM files say of CAs, and of their revocation lists; no second one: empty. OSError, ValueError."""
    cas = _cas(ca)
    return Trusted(cas, _listed(revoked, cas) if revoked else frozenset())


def _cas(path: str) -> tuple[x509.Certificate, ...]:
    try:
        found = [one for one in x509.load_pem_x509_certificates(Path(path).read_bytes()) if _is_ca(one)]
    except _STRANGE as error:
        raise ValueError(f"{path} holds no PEM certificates") from error
    if not found:
        raise ValueError(f"{path} holds no CA's certificate")
    return tuple(found)


def _listed(path: str, cas: tuple[x509.Certificate, ...]) -> frozenset[tuple[bytes, int]]:
    """What the lists name; ValueError for one that none of the CAs has signed."""
    try:
        found = [x509.load_pem_x509_crl(text + _END) for text in Path(path).read_bytes().split(_END)[:-1]]
        by = [next((_print(ca) for ca in cas if _is_of(one, ca)), b"") for one in found]
        numbers = [{gone.serial_number for gone in one} for one in found]
    except _STRANGE as error:
        raise ValueError(f"{path} holds a revocation list that can't be read") from error
    if not all(by) or not found:
        raise ValueError(f"{path} holds no revocation list, or one that no CA of devices has signed")
    return frozenset((ca, number) for ca, some in zip(by, numbers, strict=True) for number in some)


def _is_of(revoked: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    # A CA's key can sign, or it would not have signed a certificate either.
    return revoked.issuer == ca.subject and revoked.is_signature_valid(ca.public_key())  # type: ignore[arg-type]


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *_STRANGE):
        return False


def _issued(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _uses(certificate: x509.Certificate) -> x509.ExtendedKeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _is_revoked(certificate: x509.Certificate, issuer: x509.Certificate, trusted: Trusted) -> bool:
    # By its number: the CA's signature may be written in two ways (ECDSA), each with another fingerprint.
    number = certificate.serial_number
    return (_print(issuer), number) in trusted.listed or serial_of(certificate) in trusted.registered


def _print(ca: x509.Certificate) -> bytes:
    return ca.fingerprint(hashes.SHA256())
