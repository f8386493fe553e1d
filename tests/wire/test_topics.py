"""Topics are built and parsed in one place, and nothing foreign gets through."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_wire.topics import (
    NAME_PATTERN,
    AlertTopic,
    DeviceKind,
    DeviceTopic,
    FleetKind,
    FleetTopic,
    ModelTopic,
    PlanTopic,
    Topic,
    check_name,
    every_device,
    parse,
)

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(str.isascii)
topics = st.one_of(
    st.builds(FleetTopic, names, st.sampled_from(get_args(FleetKind))),
    st.builds(AlertTopic, names, names),
    st.builds(PlanTopic, names, names),
    st.builds(DeviceTopic, names, names, st.sampled_from(get_args(DeviceKind))),
    st.builds(ModelTopic, names, st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 999)),
)


def test_examples() -> None:
    assert str(FleetTopic("berlin", "policy")) == "tidewatt/v1/berlin/policy"
    assert str(DeviceTopic("berlin", "roof-3", "report")) == "tidewatt/v1/berlin/device/roof-3/report"
    assert every_device("berlin", "birth") == "tidewatt/v1/berlin/device/+/birth"


@given(topics)
def test_round_trip(topic: Topic) -> None:
    assert parse(str(topic)) == topic


@given(st.text(max_size=80))
def test_foreign_topics_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="topic|not a name"):
        parse(text)


@pytest.mark.parametrize(
    "topic",
    [
        "tidewatt/v2/berlin/policy",
        "tidewatt/v1/berlin",
        "tidewatt/v1/berlin/device/+/report",
        "tidewatt/v1/berlin/device/a/command",
        "tidewatt/v1/berlin/device/a/report/x",
        "tidewatt/v1//policy",
    ],
)
def test_near_misses_are_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="topic|not a name"):
        parse(topic)


@pytest.mark.parametrize("name", ["", "a/b", "a+b", "#", "-a", "ä", "a" * 64, "a\n"])
def test_bad_names_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"device .* is not a name: use 1 to 63"):
        check_name(name, "device")
