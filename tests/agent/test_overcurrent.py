"""Over-current events: rates by difference, and news only where they are news."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewatt_agent.overcurrent import Window, rates, watch

counts = st.dictionaries(st.sampled_from(["oc1", "oc2", "oc3"]), st.integers(0, 10**9))


@given(counts, counts, st.floats(0.1, 1e6))
def test_rates_are_never_negative_and_never_invented(
    before: dict[str, int], after: dict[str, int], seconds: float
) -> None:
    found = rates(before, after, seconds)
    assert set(found) == before.keys() & after.keys()
    for channel, rate in found.items():
        # A count that fell began anew: the board was rebooted.
        new = after[channel] - before[channel] if after[channel] >= before[channel] else after[channel]
        assert rate == new / seconds


def test_a_rate_needs_time() -> None:
    with pytest.raises(ValueError, match="needs time"):
        rates({}, {}, 0.0)


def test_news_once_until_it_is_over() -> None:
    window: Window | None = None
    said = []
    for minute, events in enumerate([0, 5, 9, 9, 9, 12]):
        window, sentences = watch(window, {"oc2": events, "oc3": minute * 600}, minute * 60.0)
        said.append(sentences)
    assert [len(sentences) for sentences in said] == [0, 1, 0, 0, 0, 1]
    assert said[1][0].startswith("average over-current (oc2): 5 events in 60 s; the module draws more")
    assert window is not None
    assert window.rates == {"oc2": 0.05, "oc3": 10.0}


def test_thousands_of_oc3_are_normal_and_tens_of_thousands_are_not() -> None:
    window, _ = watch(None, {"oc3": 0}, 0.0)
    window, quiet = watch(window, {"oc3": 456}, 60.0)  # 27,390 an hour
    _, news = watch(window, {"oc3": 456 + 1200}, 120.0)
    assert quiet == []
    assert "instantaneous over-current (oc3): 1200 events" in news[0]
