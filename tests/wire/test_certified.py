"""A word signed with a certificate's key: what was signed comes out and nothing else, whatever is done."""

import base64
import json
import random
from functools import cache
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certified import CA, ROOF_3, Paper, edwards, paper, signed

from tidewatt_wire.certified import (
    MOST_CERTIFICATE,
    MOST_PAYLOAD,
    SLEEP_TYPE,
    CertifiedEnvelope,
    certificate_in,
    certify,
    payload_in,
)
from tidewatt_wire.codec import MAX_BYTES, Refused, decode, encode
from tidewatt_wire.enrolment import fingerprint
from tidewatt_wire.signing import HINT_TYPE
from tidewatt_wire.sleeping import SleepState, word_in

WORD = SleepState(device="roof-3", session="s", at_ms=1, state="asleep", until_ms=2, expires_at_ms=3)
SAID = encode(signed(WORD))
EXAMPLES = settings(max_examples=200)


def read(said: bytes) -> SleepState:
    """What a coordinator would read of it, whoever's the certificate."""
    found = decode(SleepState, said).signed
    assert isinstance(found, CertifiedEnvelope)
    return word_in(found, certificate_in(found))


def base64_of(some: bytes) -> str:
    return base64.b64encode(some).decode()


def reason(said: bytes) -> str:
    with pytest.raises(Refused) as refused:
        read(said)
    assert "\n" not in str(refused.value)
    return refused.value.reason.value


def envelope(**changed: Any) -> bytes:
    """The word with some of its envelope changed."""
    document = json.loads(SAID)
    parts = document["signed"]
    for name, value in changed.items():
        (parts if name in parts else parts["signatures"][0])[name] = value
    return json.dumps(document).encode()


@cache
def key_of(kind: str) -> Any:
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    return edwards(9) if kind == "Ed25519" else ec.generate_private_key(curves[kind])


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "rsa2048", "rsa3072", "Ed25519"])
def test_what_was_signed_comes_out_whatever_the_key(kind: str) -> None:
    assert read(encode(signed(WORD, paper("roof-3", key_of(kind), CA)))) == WORD


@pytest.mark.parametrize(
    ("kind", "why"),
    [("rsa1024", "EC, Ed25519, or RSA of 2048"), ("Ed448", "EC, Ed25519, or RSA of 2048")],
)
def test_a_key_that_signs_nothing_is_named(kind: str, why: str) -> None:
    key = ed448.Ed448PrivateKey.generate() if kind == "Ed448" else key_of(kind)
    with pytest.raises(ValueError, match=why):
        signed(WORD, paper("roof-3", key, CA))


def test_what_can_not_sign_says_why() -> None:
    payload, (certificate, key) = encode(WORD), (ROOF_3.pem, ROOF_3.key_pem())
    for shown, private, why in (
        (b"", key, "no PEM certificate"),
        (certificate, b"", "no PEM certificate"),
        (certificate, ROOF_3.key_pem(b"secret"), "has a password"),
        (certificate, CA.key_pem(), "not the certificate's"),
    ):
        with pytest.raises(ValueError, match=why):
            certify(payload, shown, private, SLEEP_TYPE)
    with pytest.raises(ValueError, match="at most 16384"):
        certify(b"x" * (MOST_PAYLOAD + 1), certificate, key, SLEEP_TYPE)


def test_certificate_and_key_may_stand_in_one_file_in_any_order_with_a_chain() -> None:
    both = ROOF_3.key_pem() + ROOF_3.certificate_pem + CA.certificate_pem
    found = certify(b"x", both, both, SLEEP_TYPE)
    assert payload_in(found, ROOF_3.certificate, SLEEP_TYPE) == b"x"


def test_a_signature_is_for_its_kind_of_payload_alone() -> None:
    hint = certify(encode(WORD), ROOF_3.pem, ROOF_3.pem, HINT_TYPE)
    assert reason(encode(msgspec.structs.replace(WORD, signed=hint))) == "malformed"
    assert reason(envelope(payloadType=HINT_TYPE)) == "malformed"
    renamed = msgspec.structs.replace(hint, payload_type=SLEEP_TYPE)
    assert reason(encode(msgspec.structs.replace(WORD, signed=renamed))) == "bad_signature"


def test_whatever_is_altered_is_refused() -> None:
    other = encode(msgspec.structs.replace(WORD, expires_at_ms=10**12))
    assert reason(envelope(payload=base64_of(other))) == "bad_signature"
    assert reason(envelope(sig="AAAA")) == "bad_signature"
    assert reason(envelope(sig="?")) == "malformed"
    assert reason(envelope(payload="?")) == "malformed"
    assert reason(envelope(cert="AAAA")) == "malformed"
    assert reason(envelope(cert="?")) == "malformed"
    stranger = encode(signed(WORD, paper("roof-3", edwards(9), CA)))
    assert reason(envelope(cert=json.loads(stranger)["signed"]["signatures"][0]["cert"])) == "bad_signature"


def test_what_is_signed_is_read_and_nothing_beside_it() -> None:
    lie = json.loads(SAID) | {"state": "awake", "device": "roof-4"}
    assert read(json.dumps(lie).encode()) == WORD
    nested = certify(SAID, ROOF_3.pem, ROOF_3.pem, SLEEP_TYPE)
    assert read(encode(msgspec.structs.replace(WORD, signed=nested))) == WORD, "a word in a word is none"
    no_word = certify(b'{"schema":"1.2"}', ROOF_3.pem, ROOF_3.pem, SLEEP_TYPE)
    assert reason(encode(msgspec.structs.replace(WORD, signed=no_word))) == "invalid"


def test_an_older_reader_takes_it_as_it_always_did() -> None:
    class Before(msgspec.Struct):
        device: str
        state: str
        expires_at_ms: int

    assert msgspec.json.decode(SAID, type=Before) == Before("roof-3", "asleep", 3)


def test_everything_has_its_bound() -> None:
    most = certify(b"x" * MOST_PAYLOAD, ROOF_3.pem, ROOF_3.pem, SLEEP_TYPE)
    whole = encode(msgspec.structs.replace(WORD, signed=most))
    assert decode(SleepState, whole).signed == most
    for name, value in (
        ("payload", "A" * ((MOST_PAYLOAD + 2) // 3 * 4 + 4)),
        ("cert", "A" * ((MOST_CERTIFICATE + 2) // 3 * 4 + 4)),
        ("sig", "A" * 1372),
        ("keyid", "0" * 65),
        ("payloadType", "x" * 128),
        ("signatures", []),
        ("signatures", json.loads(SAID)["signed"]["signatures"] * 2),
    ):
        assert reason(envelope(**{name: value})) == "invalid", name
    assert reason(b" " * (MAX_BYTES + 1)) == "too_big"


def test_the_key_id_is_for_people() -> None:
    shown = json.loads(SAID)["signed"]["signatures"][0]
    assert shown["keyid"] == fingerprint(base64.b64decode(shown["cert"]))
    assert read(envelope(keyid="")) == WORD


def test_a_flipped_bit_is_refused_or_makes_no_difference() -> None:
    chance, begins = random.Random(1), SAID.index(b'"signed"') + len(b'"signed"')
    for place in range(begins, len(SAID)):
        flipped = bytearray(SAID)
        flipped[place] ^= 1 << chance.randrange(8)
        try:
            assert read(bytes(flipped)) == WORD, place
        except Refused:
            continue


strange = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
parts = json.loads(SAID)["signed"]


@EXAMPLES
@given(
    st.fixed_dictionaries(
        {
            "payloadType": st.just(SLEEP_TYPE) | strange,
            "payload": st.just(parts["payload"]) | st.binary(max_size=600).map(base64_of),
            "signatures": st.lists(
                st.fixed_dictionaries(
                    {
                        name: st.just(value) | st.text(max_size=80) | strange
                        for name, value in parts["signatures"][0].items()
                    }
                ),
                max_size=2,
            ),
        }
    )
    | strange
)
def test_no_json_does_worse_than_be_refused(found: object) -> None:
    said = json.dumps({**json.loads(encode(WORD)), "signed": found}).encode()
    try:
        assert read(said) == WORD
    except Refused as refused:
        assert refused.reason.value in {"malformed", "invalid", "bad_signature"}  # noqa: PT017


@EXAMPLES
@given(st.binary(max_size=800))
def test_any_payload_comes_out_as_it_was(payload: bytes) -> None:
    found = certify(payload, ROOF_3.pem, ROOF_3.pem, SLEEP_TYPE)
    assert payload_in(found, ROOF_3.certificate, SLEEP_TYPE) == payload


def test_a_certificate_that_is_damaged_is_malformed_or_does_not_fit() -> None:
    der = ROOF_3.certificate.public_bytes(Encoding.DER)
    version = b"\xa0\x03\x02\x01"
    assert reason(envelope(cert=base64_of(der.replace(version + b"\x02", version + b"\x10")))) == "malformed"
    for place in range(len(der)):
        for value in (0x00, 0x02, 0x30, 0x7F, 0x80, 0xFF):
            damaged = der[:place] + bytes([value]) + der[place + 1 :]
            try:
                assert read(envelope(cert=base64_of(damaged))) == WORD, "whose it is is asked elsewhere"
            except Refused as refused:
                assert refused.reason.value in {"malformed", "bad_signature"}  # noqa: PT017


def test_a_certificate_with_a_key_that_signs_nothing_proves_nothing() -> None:
    for key in (key_of("rsa1024"), ed448.Ed448PrivateKey.generate()):
        shown: Paper = paper("roof-3", key, CA)
        cert = base64_of(shown.certificate.public_bytes(Encoding.DER))
        assert reason(envelope(cert=cert)) == "bad_signature"
