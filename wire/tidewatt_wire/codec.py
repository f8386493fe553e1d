"""Messages to bytes and back, and the reasons for which bytes are refused."""

from enum import Enum
from typing import TypeVar

import msgspec

from tidewatt_wire.messages import SCHEMA_MAJOR, Message

#: A report of a board with ten modes is under 1 kB, a birth under 4 kB, a policy set of a
#: large fleet under 64 kB. Anything larger than this is an accident or an attack.
MAX_BYTES = 256 * 1024

M = TypeVar("M", bound=Message)


class RefusalReason(str, Enum):
    """Why a payload was refused; the value is the metric label."""

    TOO_BIG = "too_big"
    MALFORMED = "malformed"
    UNKNOWN_MAJOR = "unknown_major"
    INVALID = "invalid"
    WRONG_TOPIC = "wrong_topic"
    FUTURE = "future"
    TOO_MANY = "too_many"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    FOREIGN_CERTIFICATE = "foreign_certificate"
    EXPIRED_CERTIFICATE = "expired_certificate"
    REVOKED_CERTIFICATE = "revoked_certificate"
    REPLAYED = "replayed"


class Refused(ValueError):
    """A payload that was not taken, with the reason to count and a sentence to log."""

    def __init__(self, reason: RefusalReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class _Envelope(msgspec.Struct):
    schema: str


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_MAJOR = f"{SCHEMA_MAJOR}."
_OURS = f'{{"schema":"{_MAJOR}'.encode()
_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODERS: dict[type[Message], msgspec.json.Decoder[Message]] = {}


def encode(message: Message) -> bytes:
    """The message as deterministic JSON: the same value gives the same bytes."""
    return _ENCODER.encode(message)


def decode(kind: type[M], payload: bytes | bytearray | memoryview) -> M:
    """The message in `payload`; raises Refused with a reason that can be counted."""
    if len(payload) > MAX_BYTES:
        raise Refused(
            RefusalReason.TOO_BIG, f"{kind.__name__} of {len(payload)} bytes; at most {MAX_BYTES} are read"
        )
    # Ours begin with their schema: such a one is read once, and only if that fails again, for the reason.
    if payload[: len(_OURS)] != _OURS:
        _check_schema(kind, payload)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        message = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _check_schema(kind, payload)
        raise Refused(RefusalReason.INVALID, f"{kind.__name__} is invalid: {error}") from error
    if not message.schema.startswith(_MAJOR):
        _check_schema(kind, payload)  # it says another one further on
    assert isinstance(message, kind)  # noqa: S101 - the decoder was built for this kind
    return message


def _check_schema(kind: type[M], payload: bytes | bytearray | memoryview) -> None:
    try:
        envelope = _ENVELOPE.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(RefusalReason.MALFORMED, f"{kind.__name__} is not a JSON message: {error}") from error
    if envelope.schema.partition(".")[0] != str(SCHEMA_MAJOR):
        raise Refused(
            RefusalReason.UNKNOWN_MAJOR,
            f"{kind.__name__} has schema {envelope.schema[:20]!r}; this side reads version {SCHEMA_MAJOR}",
        )
