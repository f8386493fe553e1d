"""Charges: kept once, cut without loss, attributed, compared with the invoice, shown by the commands."""

import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from functools import cache
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.costing import DAY_MS, OCTOBER_MS, a_charge, amounts, charges
from typer.testing import CliRunner

from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config, parse_config
from tidewatt_coordinator.costs.attribution import attribute, rounded, scaled, spread, within
from tidewatt_coordinator.costs.charge import Charge, CostError, amount, total
from tidewatt_coordinator.costs.days import Window, iso, month, parse_time
from tidewatt_coordinator.costs.reconcile import reconcile
from tidewatt_coordinator.costs.settings import Invoice
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.documents import DocumentError, to_toml

quick = settings(max_examples=100)
OCTOBER = month("2026-10", "a test")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Charges]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield Charges(ledger.engine)
    ledger.close()


def everything(store: Charges) -> list[Charge]:
    return list(store.read(-(10**15), 10**15))


# The store

TIMES = count(1)


@cache
def one_ledger() -> Charges:
    """Of this module: to make one takes longer than all the rest."""
    return Charges(Ledger("sqlite://", 300_000).engine)


@quick
@given(given_charges=st.lists(charges(), max_size=8))
def test_what_is_kept_comes_back(given_charges: list[Charge]) -> None:
    store = one_ledger()
    last = {(charge.source, charge.key): charge for charge in given_charges}
    store.replace("edge", [""], [], next(TIMES))
    now_ms = next(TIMES)
    store.put(given_charges, now_ms)
    store.put(last.values(), now_ms)
    assert {(one.source, one.key): one for one in everything(store)} == last
    assert len(everything(store)) == len(last)


def test_a_batch_replaces_itself_and_nothing_else(store: Charges) -> None:
    store.put([a_charge(source="edge", key="mine")], 1)
    store.replace("focus", ["a"], [("a", a_charge(key=str(n))) for n in range(2500)], 1)
    store.replace("focus", ["b"], [("b", a_charge(key="other"))], 1)
    assert store.count("focus", "a") == 2500
    store.replace("focus", ["a"], [("a", a_charge(key="7"))], 2)
    assert {(one.source, one.key) for one in everything(store)} == {
        ("edge", "mine"),
        ("focus", "7"),
        ("focus", "other"),
    }
    store.replace("focus", ["a"], [], 3)
    assert store.count("focus", "a") == 0


def test_one_cut_short_is_healed_by_the_next(store: Charges) -> None:
    def broken() -> Iterator[tuple[str, Charge]]:
        for number in range(1500):
            yield "a", a_charge(key=str(number), billed=Decimal(2))
        raise CostError("the file breaks off")

    whole = [("a", a_charge(key=str(number), billed=Decimal(1))) for number in range(3000)]
    store.replace("focus", ["a"], whole, 1)
    with pytest.raises(CostError, match="breaks off"):
        store.replace("focus", ["a"], broken(), 2)
    assert store.count("focus", "a") == 3000, "nothing is counted twice, nothing is lost"
    store.replace("focus", ["a"], whole[:10], 3)
    assert total(one.billed for one in everything(store)) == 10


def test_windows_and_sources_are_asked_for(store: Charges) -> None:
    store.put([a_charge(key="1"), a_charge(key="2", source="opencost")], 5)
    assert [one.source for one in store.read(0, OCTOBER_MS)] == []
    assert [one.source for one in store.read(OCTOBER_MS, OCTOBER_MS + 1)] == ["focus", "opencost"]
    assert [one.source for one in store.read(OCTOBER_MS + DAY_MS, 10**15)] == [], "the end is excluded"
    assert [one.source for one in store.read(0, 10**15, ["opencost"])] == ["opencost"]
    assert [(one.source, one.charges, one.taken_ms) for one in store.held()] == [
        ("focus", 1, 5),
        ("opencost", 1, 5),
    ]


# Numbers and times from elsewhere


@pytest.mark.parametrize(
    "text", ["", "x", "NaN", "Infinity", "-inf", "1e12", "1e999999999", "1_000", "0x1", "9" * 200, True, None]
)
def test_no_amounts(text: object) -> None:
    with pytest.raises(CostError, match="here: .* is no "):
        amount(text, "here")


def test_amounts_have_twelve_decimals() -> None:
    assert amount("0.1234567890125", "") == Decimal("0.123456789012"), "half to even"
    assert amount("-1.5E-5", "") == Decimal("-0.000015")
    assert str(amount("-0", "")) == "0"
    assert sum([amount("999999999999.000000000001", "")] * 1000, Decimal(0)) == Decimal(
        "999999999999000.000000001"
    )


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-02", DAY_MS),
        ("2026-10-01T00:00:00Z", OCTOBER_MS),
        ("2026-10-01 00:00:00 UTC", OCTOBER_MS),
        ("2026-10-01T02:00:00.123456+02:00", OCTOBER_MS + 123),
        ("2026-09-30T19:30-0430", OCTOBER_MS),
    ],
)
def test_times_of_every_exporter(text: str, ms: int) -> None:
    assert parse_time(text, "") == ms


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-13-01", "2026-10-01T25:00:00Z", "2026-10-01T00:00:00+99:99", "٢٠٢٦-10-01", "20261001"],
)
def test_no_times(text: str) -> None:
    with pytest.raises(CostError, match="is no time"):
        parse_time(text, "here")


def test_months_are_those_of_utc() -> None:
    assert [iso(at)[:10] for at in (OCTOBER.start_ms, OCTOBER.end_ms)] == ["2026-10-01", "2026-11-01"]
    december = month("2026-12", "")
    assert iso(december.end_ms) == "2027-01-01T00:00:00Z"
    for text in ("2026", "2026-1", "2026-13", "october"):
        with pytest.raises(CostError, match="--month"):
            month(text, "--month")


# Parts and sums


@quick
@given(charge=charges(), cuts=st.lists(st.integers(0, 4_100_000_000_000), max_size=5))
def test_a_charge_is_the_sum_of_its_parts(charge: Charge, cuts: list[int]) -> None:
    edges = sorted({charge.start_ms, charge.end_ms, *cuts})
    windows = [Window(begin, end) for begin, end in pairwise(edges)]
    parts = [part for window in windows if (part := within(charge, window))]
    assert total(part.billed for part in parts) == charge.billed
    assert total(part.effective for part in parts) == charge.effective
    assert sum(part.end_ms - part.start_ms for part in parts) == charge.end_ms - charge.start_ms
    if charge.quantity is not None:
        assert total(part.quantity or Decimal(0) for part in parts) == charge.quantity


@quick
@given(money=amounts(), weights=st.lists(amounts("0", "1000"), min_size=1, max_size=6))
def test_what_is_spread_is_all_there(money: Decimal, weights: list[Decimal]) -> None:
    if not any(weights):
        with pytest.raises(ValueError, match="one above it"):
            spread(money, weights)
        return
    parts = spread(money, weights)
    assert total(parts) == money
    assert all(not part for part, weight in zip(parts, weights, strict=True) if not weight)


@quick
@given(values=st.lists(amounts(), max_size=8))
def test_shown_parts_sum_to_the_shown_total(values: list[Decimal]) -> None:
    shown = rounded(values)
    assert total(shown) == total(values).quantize(Decimal("0.01"))
    assert all(abs(one - value) < Decimal("0.01") for one, value in zip(shown, values, strict=True))


@quick
@given(given_charges=st.lists(charges(), max_size=8))
def test_every_grouping_sums_to_the_same(given_charges: list[Charge]) -> None:
    def sums(by: list[str]) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for share in attribute(given_charges, by):
            found[share.currency] = found.get(share.currency, Decimal(0)) + share.billed
        return found

    groupings = [
        [],
        ["service"],
        ["provider", "region"],
        ["namespace"],
        ["tag:team", "kind"],
        ["day"],
        ["month"],
    ]
    assert all(sums(by) == sums([]) for by in groupings)


def test_shares_are_by_what_is_asked() -> None:
    given_charges = [
        a_charge(tags={"team": "infra"}, billed=Decimal(2), marginal=Decimal("0.5")),
        a_charge(tags={"team": "infra"}, billed=Decimal(3)),
        a_charge(tags={}, billed=Decimal(7)),
        a_charge(tags={"team": "infra"}, currency="EUR"),
    ]
    shares = attribute(given_charges, ["tag:team"])
    assert [(one.key, one.currency, one.billed, one.marginal, one.charges) for one in shares] == [
        (("infra",), "EUR", Decimal(1), None, 1),
        (("(none)",), "USD", Decimal(7), None, 1),
        (("infra",), "USD", Decimal(5), Decimal("0.5"), 2),
    ]
    with pytest.raises(CostError, match="'servce'; did you mean 'service'"):
        attribute([], ["servce"])
    with pytest.raises(CostError, match="'tag:'"):
        attribute([], ["tag:"])


def test_estimates_are_stretched_to_the_bill() -> None:
    estimated = [
        a_charge(source="opencost", tags={"namespace": name}, billed=Decimal(cost))
        for name, cost in (("a", 1), ("b", 2), ("c", 3))
    ]
    shares = scaled(attribute(estimated, ["namespace"]), Decimal(10), Decimal(9))
    assert total(share.billed for share in shares) == 10
    assert {share.key[0]: share.effective for share in shares} == {
        "a": Decimal("1.5"),
        "b": Decimal(3),
        "c": Decimal("4.5"),
    }


# Reconciliation


def days_of(source: str, service: str, cost: str, days: range) -> list[Charge]:
    return [
        a_charge(
            source=source,
            key=f"{service}{day}",
            service=service,
            billed=Decimal(cost),
            start_ms=OCTOBER_MS + day * DAY_MS,
            end_ms=OCTOBER_MS + (day + 1) * DAY_MS,
        )
        for day in days
    ]


def test_each_source_s_error_against_the_invoice() -> None:
    held = [
        *days_of("focus", "EC2", "10", range(31)),
        *days_of("focus", "S3", "1", range(31)),
        *days_of("opencost", "Kubernetes", "9", range(20)),
        *days_of("cost_explorer", "EC2", "11", range(1, 31)),
        *days_of("edge", "Electricity", "1", range(31)),
    ]
    lines = reconcile(
        OCTOBER,
        held,
        bill="focus",
        invoices=[Invoice(month="2026-10", amount="342.00"), Invoice(month="2026-09", amount="1")],
        covers={"opencost": ["EC2"]},
    )
    told = {
        one.source: (one.against, one.days, one.missing_days, one.amount, one.invoice, one.percent)
        for one in lines
    }
    assert told == {
        "cost_explorer": ("focus", 30, 1, Decimal(330), Decimal(330), Decimal("0.00")),
        "focus": ("invoice", 31, 0, Decimal(341), Decimal(342), Decimal("-0.29")),
        "opencost": ("focus", 20, 11, Decimal(180), Decimal(200), Decimal("-10.00")),
    }


def test_a_fee_of_a_month_counts_for_the_days_that_are_compared() -> None:
    fee = a_charge(key="fee", service="Support", billed=Decimal(31), end_ms=OCTOBER.end_ms)
    held = [fee, *days_of("focus", "EC2", "10", range(10)), *days_of("opencost", "K", "11", range(5))]
    (_, opencost) = reconcile(OCTOBER, held, bill="focus", invoices=[], covers={})
    assert (opencost.days, opencost.missing_days) == (5, 5)
    assert (opencost.amount, opencost.invoice, opencost.difference) == (Decimal(55), Decimal(55), Decimal(0))


def test_currencies_are_never_mixed_and_nothing_is_not_zero() -> None:
    held = [a_charge(source="opencost", currency="EUR"), *days_of("focus", "EC2", "0", range(2))]
    opencost, focus = sorted(
        reconcile(OCTOBER, held, bill="focus", invoices=[Invoice(month="2026-10", amount="0")], covers={}),
        key=lambda line: line.currency,
    )
    assert (opencost.against, opencost.invoice, opencost.percent) == ("", None, None)
    assert (focus.invoice, focus.difference, focus.percent) == (Decimal(0), Decimal(0), None)
    with pytest.raises(CostError, match=r"costs.invoices\[0\].amount: 'much' is no number"):
        reconcile(OCTOBER, held, bill="focus", invoices=[Invoice(month="2026-10", amount="much")], covers={})


# Configuration and commands


def test_the_sections_are_read_and_printed() -> None:
    text = '[costs]\nbill = "cost_explorer"\n[costs.cost_explorer]\nenabled = true\ncalls_a_day = 5\n'
    config = parse_config(text, name="c.toml")
    assert (config.costs.bill, config.costs.cost_explorer.calls_a_day) == ("cost_explorer", 5)
    assert parse_config(to_toml(Config()), name="c.toml") == Config()
    with pytest.raises(DocumentError, match="'costs.opencost.ulr'; did you mean 'url'"):
        parse_config('[costs.opencost]\nulr = "x"\n', name="c.toml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "coordinator.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n'
        '[costs.opencost]\ncovers = ["EC2"]\n[[costs.invoices]]\nmonth = "2026-10"\namount = "20.01"\n'
    )
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    store = Charges(ledger.engine)
    store.put(
        [
            *days_of("focus", "EC2", "3.333", range(3)),
            *days_of("focus", "S3", "3.333", range(3)),
            *days_of("edge", "Electricity", "0.004", range(3)),
            a_charge(source="opencost", key="a", tags={"namespace": "shop"}, billed=Decimal(1)),
            a_charge(source="opencost", key="b", tags={"namespace": "web"}, billed=Decimal(3)),
        ],
        OCTOBER_MS,
    )
    ledger.close()
    return path


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["costs", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_nothing_is_a_sentence(config: Path, tmp_path: Path) -> None:
    for words in (["list"], ["list", "--source", "prometheus"], ["reconcile"]):
        assert "no charges from 2020-01-01 to 2020-02-01" in run(
            *words, "--config", config, "--month", "2020-01"
        )
    empty = tmp_path / "empty.csv"
    for text in ("", "BilledCost,EffectiveCost\n"):
        empty.write_text(text)
        done = CliRunner().invoke(app, ["costs", "import", "focus", str(empty), "--config", str(config)])
        assert done.exit_code == 1
        assert f"{empty}: there are no rows, only a header at most: nothing was imported" in done.output


def test_list_counts_the_bill_and_the_edge_once(config: Path) -> None:
    text = run("list", "--config", config, "--month", "2026-10")
    rows = [line.replace("│", " ").split() for line in text.splitlines() if "│" in line]
    assert rows == [
        ["EC2", "10.00", "10.00", "3"],
        ["S3", "10.00", "10.00", "3"],
        ["Electricity", "0.01", "0.01", "3"],
        ["total", "20.01", "USD", "20.01", "USD", "9"],
    ]
    told = json.loads(run("list", "--config", config, "--month", "2026-10", "--json"))
    assert [one["billed"] for one in told] == ["9.999", "9.999", "0.012"]
    part = run("list", "--config", config, "--from", "2026-10-01", "--until", "2026-10-02", "--json")
    assert [one["billed"] for one in json.loads(part)] == ["3.333", "3.333", "0.004"]


def test_namespaces_share_the_bill(config: Path) -> None:
    arguments = ("list", "--config", config, "--month", "2026-10", "--by", "namespace", "--json")
    told = json.loads(run(*arguments, "--source", "opencost"))
    assert {one["key"][0]: Decimal(one["billed"]) for one in told} == {"shop": Decimal(1), "web": Decimal(3)}
    told = json.loads(run(*arguments, "--of-bill"))
    assert {one["key"][0]: Decimal(one["billed"]) for one in told} == {
        "shop": Decimal("2.49975"),
        "web": Decimal("7.49925"),
    }


def test_reconcile_and_sources(config: Path) -> None:
    focus, opencost = json.loads(run("reconcile", "--config", config, "--month", "2026-10", "--json"))
    assert (focus["against"], focus["difference"]) == ("invoice", "-0.012")
    assert (opencost["amount"], opencost["invoice"], opencost["percent"]) == ("4", "3.333", "20.01")
    assert "-0.06" in run("reconcile", "--config", config, "--month", "2026-10")
    told = run("sources", "--config", config)
    assert "asked 0 times today, of at most 20" in told
    assert [one["source"] for one in json.loads(run("sources", "--config", config, "--json"))["held"]] == [
        "edge",
        "focus",
        "opencost",
    ]


def test_export_check_import_round_trip(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "october.csv"
    run("export", "--config", config, "--month", "2026-10", "--out", out)
    assert run("check", out) == f"{out}: FOCUS 1.2\n"
    assert "ProviderName' is not in FOCUS 1.4" in run("check", out, "--focus-version", "1.4", code=1)
    other = tmp_path / "other.toml"
    other.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path / "other.db"}"\n')
    for _ in range(2):
        assert "focus: 9 charges (days or billing periods: 1)" in run(
            "import", "focus", out, "--config", other
        )
    with closing(Ledger(f"sqlite:///{tmp_path / 'other.db'}", 300_000)) as ledger:
        noted = [(one.what, one.subject, json.loads(one.after)) for one in Trail(ledger.engine).entries()]
    kept = {"charges": 9, "batches": 1, "files": [str(out)]}
    assert noted == [("costs import", "focus", kept)] * 2, "who brought costs in stands in the audit"
    told = json.loads(run("list", "--config", other, "--month", "2026-10", "--json"))
    assert [(one["key"], one["billed"]) for one in told] == [
        (["EC2"], "9.999"),
        (["S3"], "9.999"),
        (["Electricity"], "0.012"),
    ]
    before = run("list", "--config", config, "--month", "2026-10", "--json")
    assert "charge of this ledger's own edge" in run("import", "focus", out, "--config", config, code=1)
    assert run("list", "--config", config, "--month", "2026-10", "--json") == before, "the edge counts once"


def test_what_can_not_be_done_is_said(config: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["costs", *map(str, arguments), "--config", str(config)])
        assert isinstance(done.exception, CostError), done.output
        return str(done.exception)

    assert refused("import") == "no source is configured: see [costs] in the configuration"
    assert refused("import", "azure").startswith("'azure' is no source; there are focus, ")
    assert refused("list", "--month", "2026-10", "--from", "2026-10-01").startswith("--month and --from")
    assert "ends before it begins" in refused("list", "--from", "2026-10-02", "--until", "2026-10-02")
    assert refused("export", "--out", tmp_path / "x.csv", "--focus-version", "2").endswith(
        "neither 1.2 nor 1.4"
    )
    assert "opencost is not configured" in run("import", "opencost", "--config", config, code=1)
