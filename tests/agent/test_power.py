"""Which rails make the board's power: one example per family of the facts, and what a wall meter adds."""

import pytest
from tests.world import recording

from tidewatt_agent.power import PATIENCE, Calibration, PowerRule, TotalPower, total_watts
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_governor.sample import Rail

ORIN = (Rail("VDD_IN", 5.0), Rail("VDD_CPU_GPU_CV", 1.0), Rail("VDD_SOC", 1.5))
UNKNOWN = TotalPower(None, "none")


@pytest.mark.parametrize(
    ("board", "line", "watts", "provenance"),
    [
        ("nano-jp46", 1, 4.52, "measured"),
        ("tx1-l4t32", 0, 2.532, "measured"),
        ("tx2-l4t28", 1, 14.025, "measured"),
        ("xavier-nx-jp4", 0, 4.067, "measured"),
        ("orin-nano-jp60", 0, 12.479, "measured"),
        ("agx-xavier-l4t32", 0, 4.536, "sum"),
        ("agx-orin-jp62", 2, 10.37, "sum"),
        ("agx-thor-jp71-vin", 0, 16.802, "measured"),
        ("agx-thor-jp72", 0, 19.545, "sum"),
        ("tx2-nx-jp46", 0, None, "none"),
    ],
)
def test_total(board: str, line: int, watts: float | None, provenance: str) -> None:
    total = total_watts(parse_line(recording(board).tegrastats[line]).rails)
    assert total.provenance == provenance
    assert total.watts == (None if watts is None else pytest.approx(watts))


def test_an_unconnected_channel_is_not_power() -> None:
    assert total_watts([Rail("NC", 3.0)]).watts is None
    assert total_watts([Rail("NC", 3.0), Rail("VDD_GPU", 1.0)]).watts == 1.0


def test_a_rail_that_goes_missing_makes_the_total_unknown(caplog: pytest.LogCaptureFixture) -> None:
    rule = PowerRule()
    for _ in range(2):
        assert rule("tegrastats", ORIN) == TotalPower(5.0, "measured")
    for _ in range(200):
        assert rule("tegrastats", ORIN[1:]) == UNKNOWN, "what is left of a board is no sum, however long"
    assert rule("tegrastats", ()) == UNKNOWN
    assert caplog.text.count("no reading of VDD_IN") == 1, "said once"
    assert rule("tegrastats", ORIN) == TotalPower(5.0, "measured")
    assert rule("sysfs", ORIN[1:]) == TotalPower(2.5, "sum"), "another reader may see other rails"


def test_one_of_two_twins_missing_is_missing_until_it_is_gone_for_good() -> None:
    rule = PowerRule()
    twins = (Rail("A", 1.0), Rail("A", 2.0))
    for _ in range(2):
        assert rule("tegrastats", twins).watts == 3.0
    answers = [rule("tegrastats", twins[:1]).watts for _ in range(PATIENCE + 3)]
    assert answers == [None] * PATIENCE + [1.0] * 3


def test_a_garbled_line_leaves_no_trace() -> None:
    rule = PowerRule()
    rule("tegrastats", ORIN)
    rule("tegrastats", (*ORIN, Rail("VDD_1N", 5.0), Rail("VIN", 9.0)))
    assert rule("tegrastats", ORIN) == TotalPower(5.0, "measured")


def test_calibrated_to_a_wall_meter() -> None:
    rule = PowerRule(Calibration(gain=1.1, offset_w=2.0))
    assert rule("sysfs", ORIN).watts == pytest.approx(7.5)
    assert PowerRule(Calibration(offset_w=-9.0))("sysfs", ORIN).watts == 0.0, "no board makes power"
    assert rule("sysfs", ()).watts is None, "an offset alone is no reading"
