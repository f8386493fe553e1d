"""What energy is worth by the hour: from tariffs and intensities to the topic's message."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_coordinator.carbon.intensity import Intensity, Kind
from tidewatt_coordinator.carbon.store import keep
from tidewatt_coordinator.config import Config, Edge
from tidewatt_coordinator.electricity.rates import HOUR_MS, Rate
from tidewatt_coordinator.electricity.worth import AHEAD_MS, BEFORE_MS, MOST, steps
from tidewatt_coordinator.energytopic import EnergyTopics
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import EnergyStep

NOW_MS = 500_000 * HOUR_MS + 600_000
FIRST_MS = NOW_MS - BEFORE_MS


def rates(*prices: str, first_ms: int = FIRST_MS) -> list[Rate]:
    """Rates of equal length over the whole window."""
    length = (BEFORE_MS + AHEAD_MS) // len(prices)
    return [
        Rate(first_ms + n * length, first_ms + (n + 1) * length, Decimal(price), "r")
        for n, price in enumerate(prices)
    ]


def intensity(hour: int, grams: int, kind: Kind = "average") -> Intensity:
    start_ms = NOW_MS - NOW_MS % HOUR_MS + hour * HOUR_MS
    return Intensity(
        zone="DE",
        kind=kind,
        start_ms=start_ms,
        end_ms=start_ms + HOUR_MS,
        grams_per_kwh=Decimal(grams),
        source="s",
    )


def test_a_flat_tariff_says_nothing() -> None:
    assert steps(rates("0.30"), [], NOW_MS) == []


def test_a_price_is_weighed_against_the_mean_and_its_changes_are_steps() -> None:
    # Four parts of 48 h: the third ends now, the fourth begins; the mean of 0.2, 0.2, 0.2, 0.4 is 0.25.
    found = steps(rates("0.20", "0.20", "0.20", "0.40"), [], NOW_MS)
    assert found == [EnergyStep(start_ms=NOW_MS, price=1.6)]


def test_what_holds_now_is_the_first_step_so_that_the_message_changes_only_with_the_price() -> None:
    early = steps(rates("0.1", "0.2", "0.1", "0.2", "0.1", "0.2", "0.1", "0.2"), [], NOW_MS + 60_000)
    late = steps(rates("0.1", "0.2", "0.1", "0.2", "0.1", "0.2", "0.1", "0.2"), [], NOW_MS + 120_000)
    assert early == late
    assert early[0].start_ms <= NOW_MS + 60_000


def test_marginal_carbon_alone_counts_where_there_is_any_and_an_unknown_hour_is_normal() -> None:
    known = [
        intensity(-1, 300, "marginal"),
        intensity(0, 100, "marginal"),
        intensity(2, 200, "marginal"),
        intensity(1, 999, "average"),
    ]
    found = steps([], known, NOW_MS)
    assert [(one.start_ms - NOW_MS + NOW_MS % HOUR_MS, one.carbon) for one in found] == [
        (0, 0.5),
        (HOUR_MS, 1.0),
    ]


@given(st.lists(st.decimals("-2", "2", places=4), min_size=1, max_size=16))
def test_weights_are_always_such_as_the_wire_takes(prices: list[Decimal]) -> None:
    for step in steps(rates(*map(str, prices)), [], NOW_MS):
        assert 0.0 <= step.price <= MOST
        assert step.carbon == 1.0


@pytest.fixture
def site_files(tmp_path: Path) -> Path:
    (tmp_path / "night.toml").write_text(
        'name = "night"\ncurrency = "EUR"\nprice_per_kwh = "0.30"\nvalid_from = 2026-01-01\nsource = "test"\n'
        'zone = "UTC"\n[[window]]\nfrom = "22:00"\nto = "06:00"\nprice_per_kwh = "0.10"\n'
    )
    (tmp_path / "sites.toml").write_text(
        '[[site]]\nname = "roof"\ntariff = "night.toml"\ncarbon_zone = "DE"\n[[site]]\nname = "flat"\n'
    )
    return tmp_path / "sites.toml"


def topics(tmp_path: Path, sites: Path, ledger: Ledger) -> EnergyTopics:
    config = Config(edge=Edge(sites=str(sites)))
    return EnergyTopics(config, ledger.engine, Clock(lambda: 0.0, lambda: NOW_MS / 1000))


def test_a_site_whose_hours_differ_has_a_signal_that_outlives_two_days_of_silence(
    tmp_path: Path, site_files: Path
) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db", 300_000)
    keep(ledger.engine, [intensity(0, 100), intensity(1, 300)])
    (signal,) = topics(tmp_path, site_files, ledger).signals(NOW_MS)
    ledger.close()
    assert signal.zone == "roof"
    assert signal.expires_at_ms - signal.issued_at_ms == AHEAD_MS
    # 16 h at 0.30 and 8 h at 0.10 a day: the mean is 0.2333.
    assert {one.price for one in signal.steps} == {1.286, 0.429}
    assert [one.carbon for one in signal.steps[:2]] == [0.5, 1.5]


def test_a_broken_file_says_so_and_takes_nothing_back(
    tmp_path: Path, site_files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db", 300_000)
    said = topics(tmp_path, site_files, ledger)
    site_files.write_text("[[site]]\nnam = 1\n")
    assert said._wanted() is None
    ledger.close()
    assert "sites.toml" in caplog.text
