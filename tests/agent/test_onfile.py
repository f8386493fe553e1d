"""JSON that others wrote: of the right kind, or refused in a sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_agent.actuator import onfile
from tidewatt_agent.actuator.server import REQUESTS, parse_request

FIELDS: onfile.Fields = {
    "n": onfile.integer,
    "name": onfile.optional(onfile.text),
    "values": onfile.each_by_name(onfile.integer, most=2, longest=4),
}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"[1]", "no JSON object"),
        (b"\xff", "utf-8"),
        (b'{"n": true}', "n is not"),
        (b'{"n": 1.0}', "n is not"),
        (b'{"n": 9223372036854775808}', "n is not"),
        (b'{"n": NaN}', "NaN is no number"),
        (b'{"name": null}', "it has no n"),
        (b'{"n": 1, "name": 2}', "name is not"),
        (b'{"n": 1, "values": {"a": 1, "b": 2, "c": 3}}', "values is not"),
        (b'{"n": 1, "values": {"abcde": 1}}', "values is not"),
        (b'{"n": 1, "more": 2}', "'more' is no field"),
        (b"[" * 100_000, "deeply|recursion"),
    ],
)
def test_what_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        onfile.read(content, FIELDS, needed=("n",), closed=True)


def test_what_is_not_known_is_left_out_of_a_file() -> None:
    assert onfile.read(b'{"n": 1, "more": 2}', FIELDS) == {"n": 1}


ONE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ANY = st.recursive(ONE, lambda of: st.lists(of) | st.dictionaries(st.text(max_size=6), of), max_leaves=8)


@given(ANY, st.sampled_from(sorted(REQUESTS)))
def test_any_request_is_whole_or_refused(value: Any, op: str) -> None:
    for words in (
        {"op": op, "id": value},
        {"op": op, "caps": value},
        {"op": op, "for_s": value},
        {"op": value},
    ):
        try:
            request = parse_request(json.dumps(words).encode())
        except ValueError:
            continue
        assert set(request.given) == set(REQUESTS[request.op])
        assert all(REQUESTS[request.op][name](one) for name, one in request.given.items())
