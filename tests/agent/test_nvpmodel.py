"""nvpmodel.conf as it is found: broken grammar, gaps, and text of any kind."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.nvpmodel import Param, Setting, parse_conf

CONF = """\
# comment
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
CORE_1 /sys/devices/system/cpu/cpu1/online

<PARAM NAME=EMC TYPE=CLOCK>
MAX_FREQ  /sys/kernel/nvpmodel_clk_cap/emc
< PARAM TYPE=HWMON NAME=VDDIN_OC_LIMIT >
WARN /sys/bus/i2c/drivers/ina3221x/7-0040/hwmon curr1_max
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_1 0   # the second core sleeps
EMC MAX_FREQ  -1
###
< POWER_MODEL ID=17 NAME=MAXN_SUPER >
EMC MAX_FREQ 3199000000
< POWER_MODEL ID=17 NAME=TWIN >
EMC MAX_FREQ 1
EMC MAX_FREQ fast
< FAN_CONFIG DEFAULT=quiet >
< PM_CONFIG DEFAULT=17 >
stray line
"""


def test_what_the_file_says() -> None:
    modes = parse_conf(CONF)
    assert modes.default == 17, "a default may have two digits"
    assert [(mode.id, mode.name) for mode in modes.modes] == [(0, "15W"), (17, "MAXN_SUPER")]
    assert modes.modes[0].settings == [Setting("CPU_ONLINE", "CORE_1", 0), Setting("EMC", "MAX_FREQ", -1)]
    assert modes.mode(17) == modes.modes[1]
    assert modes.mode(1) is None, "ids have gaps"
    assert modes.params[1] == Param("EMC", "CLOCK", {"MAX_FREQ": ["/sys/kernel/nvpmodel_clk_cap/emc"]})
    assert len(modes.params[2].args["WARN"]) == 2, "HWMON lines have three words"


def test_what_is_no_grammar_is_kept() -> None:
    assert parse_conf(CONF).unknown == [
        "< POWER_MODEL ID=17 NAME=TWIN >",
        "EMC MAX_FREQ 1",
        "EMC MAX_FREQ fast",
        "stray line",
    ]


@given(st.text(alphabet=" <>=#\nAPOWERMDLIDNTY019-\x00é", max_size=300) | st.text(max_size=200))
@settings(max_examples=400)
def test_any_text_is_read(text: str) -> None:
    modes = parse_conf(text)
    assert len({mode.id for mode in modes.modes}) == len(modes.modes)


@given(st.integers(0, len(CONF)), st.integers(0, 20), st.text(max_size=5))
@settings(max_examples=300)
def test_a_damaged_file_invents_no_value(place: int, length: int, junk: str) -> None:
    damaged = CONF[:place] + junk + CONF[place + length :]
    for mode in parse_conf(damaged).modes:
        assert str(mode.id) in damaged
        assert all(str(setting.value) in damaged for setting in mode.settings)
