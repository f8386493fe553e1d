"""Who gets a certificate, and who keeps it: the rules, over the folder and the register."""

import datetime as dt
from collections.abc import Callable, Sequence

from cryptography import x509

from tidewatt_coordinator.pki.asked import Asked, Rejected, check_proof, read_certificate, read_request
from tidewatt_coordinator.pki.certificates import (
    Authority,
    Revoked,
    new_certificate,
    new_revocation_list,
    pem,
)
from tidewatt_coordinator.pki.folder import REVOKED, Folder
from tidewatt_coordinator.pki.register import Register
from tidewatt_wire.enrolment import Enrolled, EnrollRequest, RenewRequest
from tidewatt_wire.messages import TrustedKey
from tidewatt_wire.units import MILLISECONDS_PER_SECOND


def at(ms: int) -> dt.datetime:
    """Milliseconds since 1970 as X.509 wants a time: UTC, whole seconds."""
    return dt.datetime.fromtimestamp(ms // MILLISECONDS_PER_SECOND, dt.timezone.utc)


class Issuing:
    """Answers devices. Both methods raise Rejected with the sentence to answer. Thread-safe."""

    def __init__(
        self,
        authority: Authority,
        register: Register,
        *,
        fleet: str,
        broker: str,
        days: int,
        policy_keys: Callable[[], Sequence[TrustedKey]],
        now_ms: Callable[[], int],
    ) -> None:
        """`policy_keys`: what devices shall trust policy sets by. `now_ms`: real time, as TLS has it."""
        self._authority, self._register = authority, register
        self._fleet, self._broker, self._days = fleet, broker, days
        self._policy_keys, self._now_ms = policy_keys, now_ms

    @property
    def ca(self) -> bytes:
        """The CA's certificate, PEM."""
        return pem(self._authority.certificate)

    def enroll(self, request: EnrollRequest) -> Enrolled:
        """A device's first certificate, for a token."""
        now_ms, keys = self._now_ms(), self._policy_keys()
        # The token first: who has none is not worth the reading of a signing request.
        token = self._register.check_token(request.token, now_ms)
        asked = read_request(request.csr)
        if token.device not in (None, asked.device):
            raise Rejected(f"this token is for another device than {asked.device}")
        certificate = self._made(asked, now_ms)
        self._register.redeem(request.token, certificate, now_ms)
        return self._answer(asked.device, certificate, keys)

    def renew(self, request: RenewRequest) -> Enrolled:
        """A device's next certificate, for the present one and a signature with its key."""
        now_ms, keys = self._now_ms(), self._policy_keys()
        present = read_certificate(request.certificate)
        device = self._register.check_certificate(present, now_ms)
        check_proof(present, request.csr, request.signature)
        asked = read_request(request.csr)
        if asked.device != device:
            raise Rejected(f"the present certificate is {device}'s, the signing request {asked.device}'s")
        certificate = self._made(asked, now_ms)
        self._register.renew(present, certificate, now_ms)
        return self._answer(device, certificate, keys)

    def _made(self, asked: Asked, now_ms: int) -> x509.Certificate:
        return new_certificate(self._authority, "device", [asked.device], asked.key, at(now_ms), self._days)

    def _answer(self, device: str, certificate: x509.Certificate, keys: Sequence[TrustedKey]) -> Enrolled:
        return Enrolled(
            fleet=self._fleet,
            device=device,
            certificate=pem(certificate).decode(),
            ca=self.ca.decode(),
            broker=self._broker,
            policy_keys=list(keys),
        )


def write_revocation_list(folder: Folder, register: Register, now_ms: int) -> int:
    """Write the list of what is revoked and hasn't expired; how many certificates that is."""
    authority, before = folder.authority(), folder.revocation_list()
    revoked = [
        Revoked(int(one.serial, 16), at(one.revoked_ms))
        for one in register.issued()
        if one.revoked_ms is not None and one.not_after_ms > now_ms
    ]
    # Readable by all: it holds no secret, and the broker is another user.
    following = new_revocation_list(authority, revoked, before, at(now_ms))
    folder.write(REVOKED, pem(following), 0o644)
    return len(revoked)
