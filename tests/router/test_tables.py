"""Which table holds: verified, never an older one, its safe half past expiry; over restarts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sealing import FLEETS_KEY, FOREIGN_KEY, NEXT_KEY

from tidewatt_router.config import Link
from tidewatt_router.judging import TableRefused, judge, read_table
from tidewatt_router.keeping import TableFile, configured_keys
from tidewatt_router.routes import Backend, Route
from tidewatt_router.splits import ALL_CLASSES, Source, Split, Wanted, wanted
from tidewatt_router.tables import Tables
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import ClassWeights, DispatchTable
from tidewatt_wire.signing import DISPATCH_TYPE, MAX_ENVELOPE_BYTES, PAYLOAD_TYPE, Signer, seal

BACKENDS = [Backend(name="a"), Backend(name="b"), Backend(name="c")]
ONE = [Route(name="r")]


def table(
    epoch: int, *, at_ms: int = 0, life_ms: int = 60_000, fleet: str = "f", **more: Any
) -> DispatchTable:
    weights = {"weights": {"a": epoch, "b": 1}, **more}
    return DispatchTable(
        fleet=fleet, epoch=epoch, issued_at_ms=at_ms, expires_at_ms=at_ms + life_ms, **weights
    )


def sealed(made: DispatchTable, key: Signer = FLEETS_KEY, kind: str = DISPATCH_TYPE) -> bytes:
    return seal(encode(made), [key], kind)


def tables(path: Path | None = None) -> Tables:
    return Tables("f", lambda: [FLEETS_KEY.trusted], TableFile(path))


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (b"x" * (MAX_ENVELOPE_BYTES + 1), "too_big"),
        (b"{", "malformed"),
        (encode(table(1)), "malformed"),  # unsigned
        (sealed(table(1), FOREIGN_KEY), "unknown_key"),
        (sealed(table(1), Signer(FLEETS_KEY.id, FOREIGN_KEY.private)), "bad_signature"),
        (sealed(table(1), kind=PAYLOAD_TYPE), "malformed"),  # a policy set's signature is no table's
        (seal(b'{"schema":"2.0"}', [FLEETS_KEY], DISPATCH_TYPE), "unknown_major"),
        (seal(b'{"schema":"1.0"}', [FLEETS_KEY], DISPATCH_TYPE), "invalid"),
        (sealed(table(1, life_ms=0)), "invalid"),
        (sealed(table(1, fleet="other")), "wrong_fleet"),
    ],
)
def test_what_is_refused_and_counted(envelope: bytes, code: str) -> None:
    with pytest.raises(TableRefused) as caught:
        read_table(envelope, [FLEETS_KEY.trusted], "f")
    assert caught.value.code == code
    held = tables()
    assert held.offer(sealed(table(5)), 0)
    assert not held.offer(envelope, 0)
    assert dict(held.refused) == {code: 1}
    assert held.table == table(5)


def test_older_and_expired_ones_are_refused() -> None:
    for epoch in (1, 5):
        with pytest.raises(TableRefused, match="5 is held") as caught:
            judge(table(epoch), table(5), 0)
        assert caught.value.code == "older_epoch"
    with pytest.raises(TableRefused, match="expired 2 s ago") as caught:
        judge(table(6), table(5), 62_000)
    assert caught.value.code == "expired"
    judge(table(6), table(5), 59_999)


def test_the_same_again_is_no_refusal() -> None:
    held = tables()
    assert held.offer(sealed(table(5)), 0)
    assert not held.offer(sealed(table(5)), 0)
    assert not held.refused
    assert not held.offer(sealed(table(5, weights={"b": 1})), 0)  # another one of that epoch is
    assert dict(held.refused) == {"older_epoch": 1}


def test_a_kept_table_is_verified_again(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    tables(path).offer(sealed(table(5)), 0)
    assert path.stat().st_mode & 0o777 == 0o600
    again = tables(path)
    again.load()
    assert again.table == table(5)
    path.write_bytes(sealed(table(9), FOREIGN_KEY))
    robbed = tables(path)
    robbed.load()
    assert robbed.table is None
    path.unlink()
    path.mkdir()
    broken = tables(path)
    broken.load()
    assert broken.offer(sealed(table(5)), 0)  # no disk is no reason to stop
    assert broken.table == table(5)


def test_a_key_that_is_added_needs_no_restart(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# of the fleet\n{FLEETS_KEY.trusted.public} # first\n")
    link = Link(policy_keys_file=str(keys))
    held = Tables("f", lambda: configured_keys(link), TableFile(None))
    assert not held.offer(sealed(table(1), NEXT_KEY), 0)
    keys.write_text(NEXT_KEY.trusted.public)
    assert held.offer(sealed(table(1), NEXT_KEY), 0)
    keys.write_text("nonsense")
    assert not held.offer(sealed(table(2), NEXT_KEY), 0)
    assert held.refused["unknown_key"] == 2
    with pytest.raises(ValueError, match="keys, line 1: 'nonsense' is no public key"):
        configured_keys(link)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("table"), st.integers(1, 9), st.integers(1, 90)),
        st.tuples(st.just("forged"), st.integers(1, 99), st.integers(1, 90)),
        st.tuples(st.just("time"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(ACTS)
def test_whatever_comes_the_newest_holds_until_it_expires(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("held") / "table.json"
    held, now_ms = tables(path), 0
    newest: DispatchTable | None = None
    for act, number, life_s in acts:
        if act == "time":
            now_ms += number * 1000
        elif act == "restart":
            held = tables(path)
            held.load()
        else:
            made = table(
                number,
                at_ms=now_ms,
                life_ms=life_s * 1000,
                safe=[ClassWeights(name=ALL_CLASSES, weights={"c": 1})],
            )
            good = act == "table" and (newest is None or number > newest.epoch)
            assert held.offer(sealed(made, FLEETS_KEY if act == "table" else FOREIGN_KEY), now_ms) == good
            newest = made if good else newest
        assert held.table == newest
        (split,) = wanted(ONE, BACKENDS, held.table, now_ms).splits
        if newest is None:
            assert split == Split("r", {"a": 1, "b": 1, "c": 1}, source="equal")
        elif now_ms < newest.expires_at_ms:
            assert split == Split("r", {"a": newest.epoch, "b": 1, "c": 0})
        else:
            assert split == Split("r", {"a": 0, "b": 0, "c": 1}, source="safe")


def split_of(made: DispatchTable | None, route: Route, now_ms: int = 0) -> Split:
    (split,) = wanted([route], BACKENDS, made, now_ms).splits
    return split


def weights(name: str, shed: int = 0, **by: int) -> ClassWeights:
    return ClassWeights(name=name, weights=by, shed=shed)


CLASSED = table(
    1,
    weights={"a": 7},
    classes=[weights("tight", a=1, shed=1)],
    safe=[weights("tight", b=1), weights("all", c=1)],
)


@pytest.mark.parametrize(
    ("route", "now_ms", "split"),
    [
        (Route(name="r"), 0, Split("r", {"a": 7, "b": 0, "c": 0})),
        (Route(name="r", request_class="loose"), 0, Split("r", {"a": 7, "b": 0, "c": 0})),
        (Route(name="r", request_class="tight"), 0, Split("r", {"a": 1, "b": 0, "c": 0}, 1)),
        (Route(name="r", request_class="tight", shed="c"), 0, Split("r", {"a": 1, "b": 0, "c": 1})),
        (Route(name="r", request_class="tight"), 60_000, Split("r", {"a": 0, "b": 1, "c": 0}, source="safe")),
        (Route(name="r", request_class="loose"), 60_000, Split("r", {"a": 0, "b": 0, "c": 1}, source="safe")),
        # Its backends are none that the table gives anything: the next best.
        (Route(name="r", backends=["b", "c"]), 0, Split("r", {"b": 0, "c": 1}, source="safe")),
        (
            Route(name="r", backends=["a", "b"], shed="b"),
            60_000,
            Split("r", {"a": 1, "b": 0}, source="equal"),
        ),
    ],
)
def test_what_a_route_gets(route: Route, now_ms: int, split: Split) -> None:
    assert split_of(CLASSED, route, now_ms) == split


def test_nobody_able_is_the_safe_table_and_all_shed_is_all_shed() -> None:
    nobody = table(1, weights={}, classes=[weights("x", shed=3)], safe=[weights("all", b=1)])
    assert split_of(nobody, Route(name="r")) == Split("r", {"a": 0, "b": 1, "c": 0}, source="safe")
    shed = split_of(nobody, Route(name="r", request_class="x"))
    assert shed == Split("r", {"a": 0, "b": 0, "c": 0}, 3)


def test_foreign_backends_are_named() -> None:
    found = wanted(ONE, BACKENDS, table(1, weights={"a": 1, "zz": 9}), 0)
    assert found.unknown == ("zz",)
    assert found.splits == (Split("r", {"a": 1, "b": 0, "c": 0}),)


def want(parts: Mapping[str, int], source: Source = "table") -> Wanted:
    return Wanted(1, (Split("r", parts, source=source),))


@pytest.mark.parametrize(
    ("before", "after", "takes"),
    [
        ({"a": 1, "b": 1}, {"a": 1, "b": 0}, True),
        ({"a": 1, "b": 0}, {"a": 1, "b": 1}, False),
        ({"a": 5, "b": 5}, {"a": 1, "b": 9}, False),
        ({"a": 1, "b": 0}, {"a": 2, "b": 0}, False),
    ],
)
def test_what_takes_traffic_away(before: Mapping[str, int], after: Mapping[str, int], takes: bool) -> None:
    assert want(after).takes_away(want(before)) == takes


def test_the_same_asked_from_elsewhere_asks_the_same() -> None:
    assert want({"a": 1}).asks == want({"a": 1}, "safe").asks
    assert want({"a": 1}, "safe").on_safe
    assert not want({"a": 1}).on_safe
