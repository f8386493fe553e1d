"""The examples on the page about money are read as they stand."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import parse_config
from tidewatt_coordinator.electricity.sites import Sites
from tidewatt_coordinator.electricity.tariff import parse_tariff
from tidewatt_coordinator.prices.files import parse_table
from tidewatt_wire.documents import parse_toml

PAGE = Path(__file__).parents[2] / "docs/money.md"
EXAMPLES = {
    text.splitlines()[0]: text for text in re.findall(r"```toml\n(.+?)```", PAGE.read_text(), re.DOTALL)
}


def test_they_are_all_there() -> None:
    assert sorted(EXAMPLES) == [
        "# coordinator.toml",
        "# prices/negotiated.toml",
        "# sites.toml",
        "# summer.toml",
    ]


def test_the_price_table() -> None:
    table = parse_table(EXAMPLES["# prices/negotiated.toml"], "negotiated.toml")
    assert [price.cost(20_000) for price in table.price] == [5220, 1200]


def test_the_configuration() -> None:
    config = parse_config(EXAMPLES["# coordinator.toml"], name="coordinator.toml")
    assert [budget.name for budget in config.budgets] == ["vision"]
    assert config.anomalies.tags == ["team"]
    assert config.reports.to == ["cfo@example.com"]


def test_the_tariff() -> None:
    tariff = parse_tariff(EXAMPLES["# summer.toml"], "summer.toml")
    assert [window.name for window in tariff.window] == ["holiday", "peak"]


def test_the_sites() -> None:
    sites = parse_toml(EXAMPLES["# sites.toml"], Sites, name="sites.toml")
    assert list(sites.wrong()) == []
    found = sites.hardware_of({"board": "orin-nano", "site": "oakland"})
    assert found is not None
    assert found.life_months == 48


@pytest.mark.parametrize("command", re.findall(r"^    tidewatt (\w+) (\w+)", PAGE.read_text(), re.MULTILINE))
def test_the_commands_exist(command: tuple[str, str]) -> None:

    assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0
