"""The coordinator's HTTPS door, from the device's side."""

import http.client
import ssl
from typing import Any

import msgspec

from tidewatt_agent.config import Address
from tidewatt_wire.enrolment import CA, MOST_BYTES, Enrolled, EnrollRequest, RenewRequest, same_fingerprint

TIMEOUT_S = 15.0


class DoorShut(OSError):
    """There is no certificate to be had there; one sentence that says why."""


class _Refusal(msgspec.Struct):
    detail: Any


def ask(door: Address, path: str, request: EnrollRequest | RenewRequest, tls: ssl.SSLContext) -> Enrolled:
    """Send the request. DoorShut for a refusal, an answer that is none, or nobody there."""
    status, body = _exchange(door, "POST", path, msgspec.json.encode(request), tls)
    try:
        if status == http.client.OK:
            return msgspec.json.decode(body, type=Enrolled)
        refusal = msgspec.json.decode(body, type=_Refusal)
    except msgspec.MsgspecError as error:
        raise DoorShut(
            f"{_named(door)} is no Tidewatt coordinator: it answered with status {status}"
        ) from error
    raise DoorShut(f"{_named(door)} refused: {str(refusal.detail)[:500]}")


def trust_on_first_use(door: Address, fingerprint: str) -> ssl.SSLContext:
    """A context that believes in the CA with this fingerprint alone. DoorShut if the door has another.

    Nothing secret is sent before that is known: the CA's certificate is public.
    """
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.minimum_version = ssl.TLSVersion.TLSv1_2
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    status, body = _exchange(door, "GET", CA, None, blind)
    try:
        pem = body.decode("ascii")
        der = ssl.PEM_cert_to_DER_cert(pem)
        if status == http.client.OK and same_fingerprint(fingerprint, der):
            tls = ssl.create_default_context(cadata=der)
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            return tls
    except ValueError as error:  # not text, not PEM, not a certificate
        raise DoorShut(f"{_named(door)} is no Tidewatt coordinator: it shows no CA") from error
    raise DoorShut(
        f"{_named(door)} has another CA than the one with that fingerprint: nothing was sent to it"
    )


def _exchange(
    door: Address, method: str, path: str, body: bytes | None, tls: ssl.SSLContext
) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection(door.host, door.port, timeout=TIMEOUT_S, context=tls)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read(MOST_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise DoorShut(
            f"{_named(door)} can't be trusted: {error.verify_message}; "
            "name its CA with --ca or --ca-fingerprint, or link.ca"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DoorShut(f"{_named(door)} does not answer: {why}") from error
    finally:
        connection.close()


def _named(door: Address) -> str:
    return f"https://{door.host}:{door.port}"
