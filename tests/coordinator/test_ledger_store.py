"""The ledger in its database: the same whatever the order, across restarts, under its migrations."""

import random
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select, text

from tidewatt_coordinator.ledger import store
from tidewatt_coordinator.ledger.account import account
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.baselines import DeviceModel
from tidewatt_coordinator.ledger.compared import compare_changed
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger, LedgerError
from tidewatt_coordinator.ledger.stretches import stretches
from tidewatt_coordinator.ledger.tables import device_bucket, metadata
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import Counters, Gauges, Report

LITERAL = {"literal_binds": True}


def report(device: str, epoch: str, minute: int, energy_mj: int, mode: str = "15W") -> Report:
    return Report(
        device=device,
        session="s",
        epoch=epoch,
        seq=minute,
        at_ms=minute * 60_000,
        counters=Counters(
            energy_mj=energy_mj, requests=minute * 600, switches=minute // 10, mode_ms={mode: minute * 60_000}
        ),
        gauges=Gauges(),
    )


def day(device: str, epoch: str) -> list[Report]:
    return [report(device, epoch, minute, minute * 600_123) for minute in range(1, 50)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def test_any_order_and_repetition_gives_the_same_ledger(tmp_path: Path) -> None:
    reports = day("a", "1") + day("a", "2") + day("b", "1")
    books = []
    for seed in range(4):
        ledger = Ledger(f"sqlite:///{tmp_path / str(seed)}", 300_000)
        delivered = reports + random.Random(seed).choices(reports, k=40)
        random.Random(seed).shuffle(delivered)
        for start in range(0, len(delivered), 7 + seed):
            ledger.take(delivered[start : start + 7 + seed])
        books.append((ledger.totals(), ledger.lives()))
        ledger.close()
    assert all(book == books[0] for book in books)
    totals = {total.device: dict(zip(COUNTERS, total.values, strict=True)) for total in books[0][0]}
    assert totals["a"]["energy_mj"] == 2 * 49 * 600_123, "two epochs of one device add up"
    assert totals["b"]["energy_mj"] == 49 * 600_123
    assert totals["a"]["requests"] == 2 * 49 * 600


def test_it_is_kept_across_restarts_and_its_bucket_length_is_fixed(url: str) -> None:
    ledger = Ledger(url, 300_000)
    ledger.take(day("a", "1"))
    before = ledger.totals()
    ledger.close()
    again = Ledger(url, 300_000)
    again.take(day("a", "1")[:3])
    assert again.totals() == before
    again.close()
    with pytest.raises(LedgerError, match=r"has buckets of 300 s; ledger.bucket_s = 60 can't be mixed in"):
        Ledger(url, 60_000)


def test_migrations_make_the_tables_the_code_names(url: str) -> None:
    Ledger(url, 300_000).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_totals_of_an_older_ledger_are_counted_once_from_its_buckets(url: str) -> None:
    ledger = Ledger(url, 300_000)
    ledger.take(day("a", "1") + day("a", "2") + day("b", "1"))
    before = ledger.totals()
    migrations = AlembicConfig()
    migrations.set_main_option("script_location", str(Path(store.__file__).with_name("migrations")))
    with ledger.engine.begin() as connection:
        migrations.attributes["connection"] = connection
        command.downgrade(migrations, "0004")
    ledger.close()
    again = Ledger(url, 300_000)
    assert again.totals() == before
    assert before[0].values[0] == 2 * 49 * 600_123
    again.close()


def test_a_look_at_the_last_hour_reads_no_history(url: str) -> None:
    ledger = Ledger(url, 300_000)
    table = device_bucket.c
    asked = select(table.device).where((table.bucket_ms >= 0) & (table.bucket_ms <= 1))
    with ledger.engine.connect() as connection:
        plan = connection.execute(text(f"explain query plan {asked.compile(compile_kwargs=LITERAL)}")).all()
    assert "SEARCH" in str(plan), "found by its time, not by reading everything"
    ledger.close()


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("nonsense", "is not usable"),
        ("sqlite:////none/such/dir/l.db", "can't be opened: unable to open database file"),
        ("sqlite+none:///x", "is not usable"),
    ],
)
def test_a_bad_url_is_one_sentence(bad: str, sentence: str) -> None:
    with pytest.raises(LedgerError, match=sentence):
        Ledger(bad, 300_000)


def test_the_account_adds_up_to_the_cent(url: str, profile: BoardProfile) -> None:
    ledger = Ledger(url, 300_000)
    ledger.take(day("a", "1") + day("b", "1"))
    tariff = load_tariff("")
    model = DeviceModel(profile.points, profile.vendor_default, 60.0)
    assert account(ledger, tariff).baselines is None
    roll_up(ledger)
    compare_changed(ledger, {"a": model, "b": model}.get)
    drawn = account(ledger, tariff)
    assert drawn.total("energy_mj") == 2 * 49 * 600_123
    assert drawn.cost == tariff.cost(drawn.total("energy_mj"))
    assert drawn.baselines is not None
    # 10 rps for 49 minutes on two devices, in the model of 15W: idle 4 W + 10 x 0.03636.
    assert drawn.baselines.modelled_mj == pytest.approx(2 * 49 * 60 * 4363.6, rel=1e-6)
    assert drawn.baselines.best_fixed_point == "7W"
    ledger.close()


def test_the_notes_example_54_kwh_cost_8_dollars_10() -> None:
    assert load_tariff("").cost(54 * 3_600_000_000) == Decimal("8.10")


def test_bad_tariffs_say_why(tmp_path: Path) -> None:
    good = 'name = "x"\ncurrency = "EUR"\nprice_per_kwh = "0.30"\nvalid_from = 2026-01-01\nsource = "s"\n'
    file = tmp_path / "t.toml"
    file.write_text(good)
    assert load_tariff(str(file)).currency == "EUR"
    for wrong, sentence in (
        (good.replace("0.30", "-1"), "price_per_kwh -1 is not a price"),
        (good.replace("0.30", "NaN"), "is not a price"),
        (good.replace("price_per_kwh", "price_kwh"), "did you mean 'price_per_kwh'"),
        (good.replace("EUR", "euro"), "currency"),
    ):
        file.write_text(wrong)
        with pytest.raises(DocumentError, match=sentence):
            load_tariff(str(file))


def test_absurd_counters_are_still_numbers(url: str) -> None:
    ledger = Ledger(url, 60_000)
    most = Counters(energy_mj=2**53)
    ledger.take(
        Report(device="a", session="s", epoch=str(n), seq=1, at_ms=n, counters=most, gauges=Gauges())
        for n in range(1100)
    )
    assert ledger.totals()[0].values[0] == ledger.sums()[0] == 1100 * 2**53
    ledger.close()


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("a,b\n" * 1000)
    with pytest.raises(LedgerError, match="can't be opened: file is not a database"):
        Ledger(f"sqlite:///{tmp_path / 'x.db'}", 60_000)


def test_time_in_modes_stands_in_the_buckets_it_was_spent_in(url: str) -> None:
    """A mode that reports leave out until it is used was at zero until then, not unknown."""
    ledger = Ledger(url, 60_000)

    def at(second: int, **mode_s: int) -> Report:
        counters = Counters(requests=second, mode_ms={mode: s * 1000 for mode, s in mode_s.items()})
        return Report(
            device="a",
            session="s",
            epoch="e",
            seq=second,
            at_ms=second * 1000,
            counters=counters,
            gauges=Gauges(),
        )

    ledger.take([at(0, x=0), at(30, x=30), at(60, x=60), at(90, x=60, y=30), at(240, x=60, y=30, z=150)])
    (life,) = ledger.lives()
    seen = list(stretches(life, 60_000))
    assert [stretch.lived_ms for stretch in seen] == [60_000, 60_000, 60_000, 60_000, 0]
    assert [stretch.requests for stretch in seen] == [60, 60, 60, 60, 0]
    assert seen[1].mode_ms == {"y": 30_000, "z": 30_000}
    ledger.close()


def test_both_sides_of_the_comparison_cover_the_same_time(url: str, profile: BoardProfile) -> None:
    """Half an hour at 8 W in 25W and half an hour unmeasured; beside it a device nobody knows."""
    ledger = Ledger(url, 60_000)

    def at(device: str, minute: int) -> Report:
        measured = min(minute, 30)
        counters = Counters(
            energy_mj=measured * 60 * 8_000,
            requests=minute * 60 * 86,
            unmeasured_ms=(minute - measured) * 60_000,
            mode_ms={"25W": minute * 60_000},
        )
        return Report(
            device=device,
            session="s",
            epoch="e",
            seq=minute,
            at_ms=minute * 60_000,
            counters=counters,
            gauges=Gauges(),
        )

    ledger.take([at(device, minute) for device in ("known", "unknown") for minute in range(61)])
    model = DeviceModel(profile.points, profile.vendor_default, 60.0)
    roll_up(ledger)
    compare_changed(ledger, {"known": model}.get)
    drawn = account(ledger, load_tariff(""))
    assert drawn.compared_mj == 30 * 60 * 8_000
    assert drawn.baselines is not None
    assert drawn.baselines.vendor_default.energy_mj == pytest.approx(30 * 60 * (4800 + 86 * 36.97), rel=1e-6)
    ledger.close()
