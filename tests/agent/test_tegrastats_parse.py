"""The tegrastats reader on real lines of every board family, and on damaged ones."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.truth import MB, invented
from tests.world import BOARDS, recording

from tidewatt_agent.tegrastats.parse import NotTegrastats, parse_line
from tidewatt_governor.sample import Clocked, Core, Memory, Rail, Sample, Temperature

BASE = "RAM 1180/3965MB (lfb 1x2MB) CPU [30%@1036]"
ROWS = [(board, line) for board in BOARDS for line in recording(board).tegrastats]
LINES = [line for _, line in ROWS]


def line_of(board: str, number: int = 0) -> Sample:
    """A line of a recorded board."""
    return parse_line(recording(board).tegrastats[number])


def test_there_are_fifty_lines() -> None:
    assert len(LINES) == 50


@pytest.mark.parametrize("line", LINES, ids=[board for board, _ in ROWS])
def test_every_field_of_a_real_line_is_accounted_for(line: str) -> None:
    sample = parse_line(line + "\n")
    assert sample.unknown == ()
    assert sample.ram is not None
    assert sample.cores
    # Count from the text, not by the parser's own means.
    assert len(sample.temperatures) == len(re.findall(r"\S+@-?[\d.]+C", line))
    assert len(sample.rails) == len(
        re.findall(r"(?<!RAM)(?<!SWAP) \d+(?:mW)?/\d+(?:mW)?(?:/\d+mW)?(?= |$)", line)
    )
    assert len(sample.gpus) == line.count("GR3D")
    assert ("SWAP" in line) == (sample.swap is not None)
    assert ("IRAM" in line) == (sample.iram is not None)


def test_nano_under_sudo() -> None:
    nano = line_of("nano-jp46", 1)
    assert nano.stamp is None
    assert nano.ram == Memory(1180 * MB, 3965 * MB)
    assert (nano.free_blocks, nano.largest_free_block) == (1, 2 * MB)
    assert (nano.swap, nano.swap_cached) == (Memory(149 * MB, 1024 * MB), 7 * MB)
    assert (nano.iram, nano.iram_largest_free_block) == (Memory(0, 252 * 1024), 252 * 1024)
    assert nano.cores is not None
    assert nano.cores[1] == Core(0.33, 1_036_000_000)
    assert nano.emc == Clocked(use=0.10, hertz=(1_600_000_000,))
    assert nano.gpus == {"GR3D": Clocked(use=0.0, hertz=(76_000_000,))}
    assert nano.engines["NVENC"] == Clocked(hertz=(716_000_000,))
    assert nano.rails[0] == Rail("POM_5V_IN", 4.52, 4.68)
    assert nano.temperatures["thermal"] == Temperature(59.75)


def test_without_root_missing_is_missing() -> None:
    xavier = line_of("agx-xavier-l4t32")
    assert xavier.emc is None, "EMC_FREQ 0% is no measurement"
    assert xavier.gpus == {"GR3D": Clocked(use=0.04)}
    assert xavier.engines == {}
    assert xavier.cores is not None
    assert xavier.cores[4:] == (None,) * 4
    assert [rail.name for rail in xavier.rails] == ["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"]
    assert xavier.temperatures["GPU"] == Temperature(26.5), "a temperature and a rail share the name"
    assert line_of("tx2-nx-jp46").rails == ()
    assert line_of("agx-orin-jp62", 2).emc is None


def test_tx2_engines_and_blocks() -> None:
    tx2 = line_of("tx2-l4t28", 1)
    assert tx2.mts == {"fg": 0.0, "bg": 0.0}
    assert (tx2.free_blocks, tx2.largest_free_block) == (1, 512 * 1024)
    assert tx2.engines == {"APE": Clocked(hertz=(150_000_000,))}


def test_orin_shapes() -> None:
    nano = line_of("orin-nano-jp60")
    assert nano.stamp == "11-15-2024 08:38:09"
    assert nano.gpus == {"GR3D": Clocked(use=0.63, hertz=(621_000_000,))}
    assert nano.engines["VIC"] == Clocked(on=False)
    agx = line_of("agx-orin-jp62")
    assert agx.gpus == {"GR3D": Clocked(use=0.0, hertz=(0, 0))}
    assert agx.engines["NVENC"] == Clocked(use=0.79, hertz=(166_000_000,))
    old = line_of("agx-orin-jp5")
    assert set(old.gpus) == {"GR3D", "GR3D2"}
    assert old.temperatures["GPU"] is None, "-256 C is a sensor that is off"
    assert [rail.name for rail in old.rails].count("NC") == 2, "rail names repeat"


def test_thor_and_jetpack_7_2() -> None:
    thor = line_of("agx-thor-jp72")
    assert thor.gpus == {"GR3D": Clocked(hertz=(314_000_000,) * 3)}
    assert thor.engines["NVENC0"] == Clocked(hertz=(1_556_000_000,))
    assert thor.engines["VIC"] == Clocked(use=0.59, hertz=(423_000_000,))
    assert thor.temperatures["cpu"] == Temperature(34.312, 34.843)
    assert thor.rails[1] == Rail("VDD_CPU_SOC_MSS", 7.953, 8.332, 8.710)
    assert line_of("agx-thor-jp71-vin").gpus == {}


def test_the_shape_of_jetpack_2() -> None:
    sample = parse_line(
        "RAM 1313/3995MB (lfb 469x4MB) cpu [4%,off]@1224 EMC 10%@408 AVP 0%@80 "
        "NVDEC 268 MSENC 268 GR3D 7%@76 EDP limit 0"
    )
    assert sample.cores == (Core(0.04, 1_224_000_000), None)
    assert sample.emc == Clocked(use=0.1, hertz=(408_000_000,))
    assert sample.gpus == {"GR3D": Clocked(use=0.07, hertz=(76_000_000,))}
    assert set(sample.engines) == {"AVP", "NVDEC", "MSENC"}
    assert sample.unknown == ("EDP", "limit", "0")


def test_shapes_that_no_line_here_has() -> None:
    sample = parse_line(
        "RAM 1/2MB   CPU [3%,off]@1500  NVENC      off  NVDEC    off gpu@50C cold@-5.5C XX 7 FOO bar "
        "EMC_FREQ 12% EDP limit 0 tj@1C tj@2C"
    )
    assert sample.cores == (Core(0.03, 1_500_000_000), None)
    assert sample.emc == Clocked(use=0.12)
    assert sample.engines == {"NVENC": Clocked(on=False), "NVDEC": Clocked(on=False)}
    assert sample.temperatures == {
        "gpu": Temperature(50.0),
        "cold": Temperature(-5.5),
        "tj": Temperature(1.0),
    }
    assert sample.unknown == ("XX", "7", "FOO", "bar", "EDP", "limit", "0", "tj@2C")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "hello",
        "RAM",
        "RAM 1180/MB CPU",
        "NVPM ERROR: bad input!",
        "RAM 1/2MB CPU [3%@1,4%",
        "\x00" * 50,
    ],
)
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(NotTegrastats):
        parse_line(text)


@given(st.sampled_from(LINES), st.data())
@settings(max_examples=600)
def test_a_damaged_line_never_raises_and_never_invents(line: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(line)))
    length = data.draw(st.integers(0, 12))
    junk = data.draw(st.text(alphabet="0123456789%@[]/,.- mWCMBkoffRAMPU\x00é", max_size=6))
    damaged = line[:place] + junk + line[place + length :]
    try:
        sample = parse_line(damaged)
    except NotTegrastats:
        return
    assert invented(sample, damaged) == []


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_line(text)
    except NotTegrastats:
        return


@given(st.sampled_from(LINES), st.integers(0, 60), st.from_regex(r"\?[a-z?]{1,8}", fullmatch=True))
@settings(max_examples=200)
def test_a_strange_token_is_kept_and_hurts_nothing_but_its_neighbours(
    line: str, after: int, token: str
) -> None:
    tokens = line.split()
    after = min(after, len(tokens))
    with_it = " ".join([*tokens[:after], token, *tokens[after:]])
    try:
        sample = parse_line(with_it)
    except NotTegrastats:
        pytest.fail("one strange token made the line unreadable")
    assert token in " ".join(sample.unknown)
    assert len(sample.rails) >= len(parse_line(line).rails) - 1


@given(st.sampled_from(LINES), st.integers(0, 590))
@settings(max_examples=300)
def test_what_is_kept_as_unknown_is_all_that_was_not_read(line: str, cut: int) -> None:
    """Without its unknown tokens, a line that lost its beginning reads the same and has none."""
    try:
        sample = parse_line(line[cut:])
    except NotTegrastats:
        return
    left = line[cut:].split()
    for token in sample.unknown:
        left.remove(token)
    assert parse_line(" ".join(left)) == msgspec.structs.replace(sample, unknown=())


def test_a_memory_field_that_lost_its_unit_is_no_rail() -> None:
    for field in ("SWAP 0/1913", "IRAM 0/252", "RAM 1689/3825"):
        assert list(parse_line(f"{BASE} {field}").unknown) == field.split()


def test_an_absurd_clock_in_brackets_is_no_value() -> None:
    field = f"GR3D_FREQ @[{'9' * 400}]"
    assert list(parse_line(f"{BASE} {field}").unknown) == field.split()


def test_a_highest_of_minus_256_is_no_reading() -> None:
    assert parse_line(f"{BASE} x@40C/-256C").temperatures == {"x": Temperature(40.0)}


def test_what_older_and_other_boards_print() -> None:
    sample = parse_line(
        "RAM 1/2MB (lfb N/A) cpu [29%,off]@-1 SCE 100 RCE 50 GR3D_FREQ 12%@[306, 0] "
        "5V_IN 1200/1300 VDD-RTC 1/1"
    )
    assert sample.ram == Memory(MB, 2 * MB)
    assert sample.cores == (Core(0.29), None)
    assert sample.engines["RCE"] == Clocked(hertz=(50_000_000,))
    assert [rail.name for rail in sample.rails] == ["5V_IN", "VDD-RTC"]
    assert sample.gpus == {"GR3D": Clocked(use=0.12, hertz=(306_000_000, 0))}
    assert sample.unknown == ()


def test_no_use_is_above_one() -> None:
    assert parse_line(f"{BASE} EMC_FREQ 999%@204").emc is None
    assert "CPU" in parse_line("RAM 1/2MB CPU [101%@5]").unknown


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{BASE} VDD_IN 1mW/1mW RAM 1/2MB CPU [3%@1]", "two lines have run into one"),
        ("RAM 1180/3965MB (lfb 1x2MB) SWAP 149/", "breaks off before its CPU field"),
        ("RAM 1/2MB " + "CPU [ " * 2000 + "]", "inside its CPU field"),
        ("RAM 1/2MB CPU [3%@1] " + "x" * 20_000, "at most 16384 characters"),
    ],
)
def test_a_line_that_is_none_is_refused_at_once(line: str, why: str) -> None:
    with pytest.raises(NotTegrastats, match=why):
        parse_line(line)
