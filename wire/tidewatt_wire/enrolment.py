"""What a device and the coordinator's HTTPS door say to each other about certificates.

POST /v1/enroll  EnrollRequest -> Enrolled   with a token that is good once
POST /v1/renew   RenewRequest  -> Enrolled   signed with the key of the present certificate
GET  /v1/ca      the fleet CA's certificate, PEM
Anything refused is answered with {"detail": one sentence} and a status of 400 or more.
"""

import hashlib
from typing import Annotated

import msgspec

from tidewatt_wire.messages import TrustedKey
from tidewatt_wire.topics import check_name

ENROLL, RENEW, CA = "/v1/enroll", "/v1/renew", "/v1/ca"
#: The largest request and the largest answer that are read, bytes.
MOST_BYTES = 16_384
#: A certificate is renewed when so much of its life is over.
RENEW_AFTER = 2 / 3
#: Names that the broker's ACL gives to coordinators and routers: no device may bear one.
COORDINATOR, ROUTER = "coordinator", "router"

Pem = Annotated[str, msgspec.Meta(max_length=8192)]


class EnrollRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device asks for its first certificate."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    csr: Pem
    """Certificate signing request: the device's id as its one common name, an EC P-256 key, no extensions."""


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device asks for its next certificate."""

    certificate: Pem
    """The present one."""
    csr: Pem
    signature: Annotated[str, msgspec.Meta(max_length=256)]
    """Base64 of the present key's ECDSA signature with SHA-256 over `to_be_signed(csr)`."""


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate, and what a device needs to use it."""

    fleet: str
    device: str
    certificate: Pem
    ca: Pem
    broker: str
    """The broker's URL; empty if the coordinator wasn't told one."""
    policy_keys: list[TrustedKey] = []
    """The keys that the fleet's policy sets are signed with."""


def to_be_signed(csr: str) -> bytes:
    """What the present key signs to ask for the certificate of `csr`: nothing else begins like this."""
    return b"tidewatt renew v1\0" + csr.encode()


def fingerprint(der: bytes) -> str:
    """A certificate's SHA-256, as people copy it: 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def same_fingerprint(given: str, der: bytes) -> bool:
    """Whether a person gave this certificate's fingerprint, in any case, with colons or without."""
    return given.replace(":", "").strip().lower() == fingerprint(der)


def check_device_name(name: str) -> str:
    """Return `name`, or raise ValueError if no device may bear it."""
    check_name(name, "device")
    for role in (COORDINATOR, ROUTER):
        if _is_one(name, role):
            raise ValueError(f"device {name!r} is a name for {role}s; devices bear any that begins otherwise")
    return name


def is_coordinator(name: str) -> bool:
    """Whether a certificate of this name belongs to a coordinator."""
    return _is_one(name, COORDINATOR)


def is_router(name: str) -> bool:
    """Whether a certificate of this name belongs to a router."""
    return _is_one(name, ROUTER)


def _is_one(name: str, role: str) -> bool:
    return name == role or name.startswith(f"{role}-")
