"""The envelope: what was signed comes out, and nothing else does, whatever is done to the bytes."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_wire.codec import MAX_BYTES
from tidewatt_wire.keys import key_id, public_bytes, trusted_key
from tidewatt_wire.messages import TrustedKey
from tidewatt_wire.signing import (
    MAX_ENVELOPE_BYTES,
    MOST_SIGNATURES,
    EnvelopeRefused,
    open_envelope,
    pae,
    seal,
    signer,
)

ANNA, BERT = (signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in (1, 2))
PAYLOAD = b'{"fleet":"f","revision":1}'
SEALED = seal(PAYLOAD, [ANNA])
EXAMPLES = settings(max_examples=200)


def code(envelope: bytes, trusted: list[TrustedKey]) -> str:
    with pytest.raises(EnvelopeRefused) as refused:
        open_envelope(envelope, trusted)
    assert "\n" not in str(refused.value)
    return refused.value.code


def test_the_encoding_is_the_specifications_own_example() -> None:
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_are_counted_in_bytes() -> None:
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@EXAMPLES
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_two_payloads_are_never_encoded_alike(one: bytes, other: bytes) -> None:
    assert (pae("t", one) == pae("t", other)) == (one == other)


@EXAMPLES
@given(st.binary(max_size=2000), st.binary(min_size=32, max_size=32))
def test_what_was_sealed_comes_out(payload: bytes, seed: bytes) -> None:
    key = signer(Ed25519PrivateKey.from_private_bytes(seed))
    envelope = seal(payload, [key])
    assert envelope == seal(payload, [key])
    assert open_envelope(envelope, [BERT.trusted, key.trusted]) == payload


def test_any_flipped_bit_of_any_byte_is_refused() -> None:
    for place in range(len(SEALED)):
        for bit in range(8):
            flipped = bytearray(SEALED)
            flipped[place] ^= 1 << bit
            code(bytes(flipped), [ANNA.trusted])


@EXAMPLES
@given(st.integers(0, len(SEALED) - 1))
def test_what_was_cut_short_is_malformed(length: int) -> None:
    assert code(SEALED[:length], [ANNA.trusted]) == "malformed"


@EXAMPLES
@given(st.binary(max_size=500) | st.text(max_size=500).map(str.encode))
def test_no_bytes_do_worse_than_be_refused(noise: bytes) -> None:
    code(noise, [ANNA.trusted])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@EXAMPLES
@given(
    st.fixed_dictionaries(
        {
            "payloadType": st.just("application/vnd.tidewatt.policy-set+json") | json_values,
            "payload": st.just(base64.b64encode(PAYLOAD).decode()) | st.text() | json_values,
            "signatures": st.lists(
                st.fixed_dictionaries({"keyid": st.just(ANNA.id) | st.text(), "sig": st.text()})
            )
            | json_values,
        }
    )
)
def test_no_json_does_worse_than_be_refused(document: object) -> None:
    assert code(json.dumps(document).encode(), [ANNA.trusted]) in {
        "malformed",
        "unknown_key",
        "bad_signature",
    }


def test_a_foreign_key_and_no_key_are_unknown() -> None:
    assert code(SEALED, [BERT.trusted]) == "unknown_key"
    assert code(SEALED, []) == "unknown_key"


def test_a_strangers_name_for_a_key_makes_no_line_of_its_own() -> None:
    signed = seal(PAYLOAD, [signer(BERT.private, "x\nERROR tidewatt: all is lost\x1b[2J")])
    with pytest.raises(EnvelopeRefused, match=r"signed with x\?ERROR tidewatt: all is lost\?\[2J; this"):
        open_envelope(signed, [ANNA.trusted])


def test_a_foreign_key_in_a_trusted_ones_name_is_a_bad_signature() -> None:
    forged = signer(BERT.private, ANNA.id)
    assert code(seal(PAYLOAD, [forged]), [ANNA.trusted]) == "bad_signature"


def test_while_a_key_is_rotated_either_is_enough() -> None:
    both = seal(PAYLOAD, [ANNA, BERT])
    assert open_envelope(both, [ANNA.trusted]) == PAYLOAD
    assert open_envelope(both, [BERT.trusted]) == PAYLOAD
    assert code(both, []) == "unknown_key"
    spoiled = both.replace(json.loads(both)["signatures"][0]["sig"].encode(), b"AAAA")
    assert open_envelope(spoiled, [ANNA.trusted, BERT.trusted]) == PAYLOAD
    assert code(spoiled, [ANNA.trusted]) == "bad_signature"


def test_a_named_key_is_found_by_its_name_and_by_its_own_id() -> None:
    named = signer(ANNA.private, "spring-2026")
    assert open_envelope(seal(PAYLOAD, [named]), [named.trusted]) == PAYLOAD
    assert open_envelope(SEALED, [named.trusted]) == PAYLOAD


def test_another_type_of_payload_is_malformed() -> None:
    assert code(SEALED.replace(b"policy-set", b"dispatches"), [ANNA.trusted]) == "malformed"


def test_stray_bits_at_the_end_of_base64_are_malformed() -> None:
    # "MQ==" and "MR==" are both read as one byte by a lenient reader.
    sealed = seal(b"1", [ANNA])
    assert b'"MQ=="' in sealed
    assert code(sealed.replace(b'"MQ=="', b'"MR=="'), [ANNA.trusted]) == "malformed"


def test_what_is_huge_is_too_big_before_anything_is_read() -> None:
    longest = seal(b"x" * MAX_BYTES, [ANNA] * MOST_SIGNATURES)
    assert len(longest) <= MAX_ENVELOPE_BYTES
    assert len(open_envelope(longest, [ANNA.trusted])) == MAX_BYTES
    assert code(b"[" * (MAX_ENVELOPE_BYTES + 1), [ANNA.trusted]) == "too_big"
    assert code(b"[" * MAX_ENVELOPE_BYTES, [ANNA.trusted]) == "malformed"


def test_what_no_device_would_read_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="1 to 8 signatures, not 0"):
        seal(PAYLOAD, [])
    with pytest.raises(ValueError, match="not 9"):
        seal(PAYLOAD, [ANNA] * 9)
    with pytest.raises(ValueError, match="can't be sealed"):
        seal(b"x" * (MAX_BYTES + 1), [ANNA])


def test_a_public_key_is_read_or_named_in_a_sentence() -> None:
    assert trusted_key(f" {ANNA.trusted.public}\n") == ANNA.trusted
    assert ANNA.id == key_id(public_bytes(ANNA.trusted.public))
    for wrong in ("", "x", "A" * 44, ANNA.trusted.public[:-1]):
        with pytest.raises(ValueError, match="is no public key: one is 32 bytes in base64"):
            trusted_key(wrong)
