"""Parsers of costs under anything: they read or refuse in a sentence, and what they read can be kept."""

import json
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.costing import OCTOBER_MS, a_charge

from tidewatt_coordinator.costs import costexplorer, focus, opencost, prometheus
from tidewatt_coordinator.costs.charge import MOST, Charge, CostError
from tidewatt_coordinator.costs.days import Window, iso
from tidewatt_coordinator.costs.files import rows
from tidewatt_coordinator.costs.focus_check import wrong_row
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger

DAY = Window(OCTOBER_MS, OCTOBER_MS + 86_400_000)
fuzz = settings(max_examples=100)

numbers = (
    st.integers() | st.floats() | st.sampled_from(("1", "1e999999999", "1e-999999999", "NaN", "-0", "x", ""))
)
plain = (
    st.none()
    | st.booleans()
    | numbers
    | st.text(max_size=8)
    | st.sampled_from(("\ud800", "\0", iso(OCTOBER_MS)))
)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def around(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Something with these fields, each of which may be missing or anything else."""
    return (
        st.fixed_dictionaries({}, optional={name: inner | anything for name, inner in known.items()})
        | anything
    )


window = st.just({"start": iso(DAY.start_ms), "end": iso(DAY.end_ms)})
allocations = around(
    window=window | around(start=st.text(max_size=30), end=st.just("2026-10-01T12:00:00Z")),
    cpuCost=numbers, ramCostAdjustment=numbers, totalCost=numbers, cpuCoreHours=numbers,
    properties=around(cluster=plain),
)  # fmt: skip
opencost_answers = around(
    code=st.just(200),
    data=st.lists(st.none() | st.dictionaries(st.text(max_size=5), allocations, max_size=3)),
)
series = around(
    metric=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    values=st.lists(
        st.tuples(st.just(OCTOBER_MS / 1000 + 60) | numbers, st.just("0.5") | numbers), max_size=4
    ),
)
prometheus_answers = around(
    status=st.just("success"), data=around(resultType=st.just("matrix"), result=st.lists(series, max_size=3))
)
metric = around(Amount=numbers, Unit=st.sampled_from(("USD", "N/A", "Hrs", "")))
explorer_answers = around(
    ResultsByTime=st.lists(
        around(
            TimePeriod=st.just({"Start": "2026-10-01", "End": "2026-10-02"}) | around(Start=plain, End=plain),
            Groups=st.lists(
                around(
                    Keys=st.lists(st.text(max_size=5), min_size=1, max_size=1),
                    Metrics=around(UnblendedCost=metric, NetAmortizedCost=metric, UsageQuantity=metric),
                ),
                max_size=3,
            ),
        ),
        max_size=2,
    ),
    NextPageToken=st.none() | st.text(max_size=5),
)
focus_rows = st.fixed_dictionaries(
    {
        name: st.just(value) | st.text(max_size=12)
        for name, value in focus.row(a_charge(), "1.2").items()
        if value
    },
    optional={
        "Tags": anything.map(lambda value: json.dumps(value, default=str)),
        "ConsumedQuantity": numbers.map(str),
    },
)


TIMES = count(1)


@cache
def one_ledger() -> Charges:
    """Of this module: to make one takes longer than all the rest."""
    return Charges(Ledger("sqlite://", 300_000).engine)


def refused_or_good(parse: Callable[[], Iterable[Charge]]) -> None:
    """Any exception but CostError is a finding; and so is a charge that can't be kept as it is."""
    try:
        found = list(parse())
    except CostError as error:
        sentence = str(error)
        assert 0 < len(sentence) < 1000
        return
    for charge in found:
        assert all(abs(money) <= 20 * MOST for money in (charge.billed, charge.effective))
        assert 0 <= charge.start_ms < charge.end_ms
    if found:
        kept = one_ledger()
        kept.replace(found[0].source, ["b"], (("b", charge) for charge in found), next(TIMES))
        by_key = {charge.key: charge for charge in found}
        assert {charge.key: charge for charge in kept.read(0, 10**15, [found[0].source])} == by_key


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@fuzz
@given(body=opencost_answers.map(encoded) | st.binary(max_size=60))
def test_opencost(body: bytes) -> None:
    refused_or_good(lambda: opencost.parse(body, DAY, ["namespace"], "USD", "a test"))


@fuzz
@given(body=prometheus_answers.map(encoded) | st.binary(max_size=60))
def test_prometheus(body: bytes) -> None:
    refused_or_good(lambda: prometheus.parse(body, DAY, "m", "USD", "a test"))


@fuzz
@given(answer=explorer_answers)
def test_cost_explorer(answer: Any) -> None:
    refused_or_good(
        lambda: costexplorer.charges(costexplorer.page(answer, "a test"), DAY, ["SERVICE"], "a test")
    )


@fuzz
@given(found=st.lists(focus_rows, max_size=3))
def test_focus_rows(found: list[dict[str, str]]) -> None:
    for row in found:
        assert all(wrong_row(row))
    refused_or_good(lambda: (charge for _, charge in focus.charges([("a test", found)])))


@fuzz
@given(content=st.binary(max_size=80) | st.text(",\"\n\r\0ab'\ufeff", max_size=40).map(str.encode))
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_files(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        refused_or_good(lambda: (charge for _, charge in focus.charges([("a test", rows(file))])))


@settings(fuzz, max_examples=12)  # a process each
@given(cut=st.integers(0, 10_000), flipped=st.integers(0, 10_000), value=st.integers(0, 255))
def test_parquet_that_was_damaged(parquet: bytes, cut: int, flipped: int, value: int) -> None:
    damaged = bytearray(parquet)
    damaged[flipped % len(damaged)] = value
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.parquet"
        file.write_bytes(damaged[: cut % len(damaged)] if cut % 2 else damaged)
        refused_or_good(lambda: (charge for _, charge in focus.charges([("a test", rows(file))])))


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import duckdb  # noqa: PLC0415

    file = tmp_path_factory.mktemp("parquet") / "a.parquet"
    row = focus.row(a_charge(), "1.2")
    names = ", ".join(f'? AS "{name}"' for name in row)
    connection = duckdb.connect()
    connection.execute(f"COPY (SELECT {names}) TO '{file}' (FORMAT parquet)", list(row.values()))
    connection.close()
    return file.read_bytes()


def test_very_deep_answers_are_refused() -> None:
    body = b'{"code":200,"data":' + b"[" * 100_000
    refused_or_good(lambda: opencost.parse(body, DAY, ["namespace"], "USD", "a test"))
    refused_or_good(lambda: prometheus.parse(body, DAY, "m", "USD", "a test"))
    row = focus.row(a_charge(), "1.2") | {"Tags": "[" * 100_000}
    refused_or_good(lambda: (charge for _, charge in focus.charges([("a test", [row])])))
