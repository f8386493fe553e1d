"""Which rails make the board's power: one example per family of the facts."""

from pathlib import Path

import pytest

from tidewatt_agent.power import total_watts
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_governor.sample import Rail

ROWS = [
    row.split("\t")
    for row in Path(__file__).with_name("tegrastats_lines.tsv").read_text("utf-8").splitlines()
    if not row.startswith(("#", "board\t"))
]


@pytest.mark.parametrize(
    ("board", "release", "watts", "provenance"),
    [
        ("Nano", "JP4", 4.52, "measured"),
        ("TX1", "", 2.532, "measured"),
        ("TX2", "L4T 28/31", 14.025, "measured"),
        ("Xavier NX", "L4T 32", 4.067, "measured"),
        ("Orin Nano", "JetPack 6.x", 12.479, "measured"),
        ("AGX Xavier 16GB", "WITHOUT sudo", 4.536, "sum"),
        ("AGX Orin 64GB", "R36 (non-sudo)", 10.37, "sum"),
        ("AGX Thor", "has VIN", 16.802, "measured"),
        ("AGX Thor", "JetPack 7.2", 19.545, "sum"),
        ("TX2 NX", "", None, "none"),
    ],
)
def test_total(board: str, release: str, watts: float | None, provenance: str) -> None:
    line = next(line for b, r, line in ROWS if b.startswith(board) and release in r)
    total = total_watts(parse_line(line).rails)
    assert total.provenance == provenance
    assert total.watts == (None if watts is None else pytest.approx(watts))


def test_an_unconnected_channel_is_not_power() -> None:
    assert total_watts([Rail("NC", 3.0)]).watts is None
    assert total_watts([Rail("NC", 3.0), Rail("VDD_GPU", 1.0)]).watts == 1.0
