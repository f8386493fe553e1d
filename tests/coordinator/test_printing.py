"""What others named is printed as it is: it gives neither rich nor the terminal orders."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from tidewatt_coordinator.command.printing import console
from tidewatt_coordinator.watching.door import Device, FleetNow
from tidewatt_coordinator.watching.top import screen


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[/x] a service", "[/x] a service"),
        ("[red]team", "[red]team"),
        (":smile:", ":smile:"),
        ("a\x1b[2J\x9bb\rc", r"a\x1b[2J\x9bb\rc"),
        ("two\nlines", "two"),
    ],
)
def test_a_table_shows_names_as_they_are(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(name, title=name)
    table.add_row(name)
    console().print(table)
    console().print(name)
    said = capsys.readouterr().out
    assert said.count(shown) == 4
    assert said.replace("\n", "").isprintable()


def test_what_a_board_says_of_itself_gives_the_terminal_no_orders() -> None:
    board = Device(device="d\x1b[2J", status="online", labels={"site": "s\x1b]0;x\x07"}, point="p\x9b2J")
    seen = io.StringIO()
    now = FleetNow(fleet="f", now_ms=1, devices=[board])
    Console(file=seen, width=120).print(screen(now, "x", 120, 24))
    assert seen.getvalue().replace("\n", "").isprintable()
