"""An issuer of certificates on a real database, and a clock in our hands, for the tests of enrolment."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.secured import Pki

from tidewatt_agent.enrolling.identity import Identity, answered, signing_request
from tidewatt_coordinator.pki.certificates import new_key
from tidewatt_coordinator.pki.issuing import Issuing
from tidewatt_wire.enrolment import EnrollRequest, RenewRequest
from tidewatt_wire.messages import TrustedKey

HOUR_MS = 3_600_000
KEYS = [TrustedKey(id="k1", public="A" * 44)]


class Desk:
    """An issuer on a real database, and a clock in our hands."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.now_ms = round(time.time() * 1000)
        self.issuing = Issuing(
            pki.authority,
            pki.register,
            fleet="f",
            broker="mqtts://b",
            days=30,
            policy_keys=lambda: KEYS,
            now_ms=lambda: self.now_ms,
        )

    def token(self, token: str, device: str | None = None) -> str:
        self.pki.register.promise(token, device, self.now_ms, self.now_ms + HOUR_MS)
        return token

    def enroll(self, token: str, device: str) -> Identity:
        key = new_key()
        request = EnrollRequest(token=token, csr=signing_request(device, key))
        return answered(self.issuing.enroll(request), device, key)

    def renewal(self, present: Identity, device: str | None = None) -> RenewRequest:
        csr = signing_request(device or present.device, new_key())
        certificate = present.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return RenewRequest(certificate=certificate, csr=csr, signature=present.sign(csr))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    pki = Pki(tmp_path / "pki")
    yield Desk(pki)
    pki.ledger.close()
