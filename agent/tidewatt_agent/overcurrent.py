"""Over-current events: which channel means what, and when their rate is news. Pure.

The SoC halves clocks for about a millisecond at each event, and no clock reading shows it. A
board in its highest mode may see thousands of oc3 an hour at no harm (27,390 in one report, 0.9 %
of the time); oc1 and oc2 mean a supply or a limit that doesn't hold.
"""

from collections.abc import Mapping

import msgspec

MEANINGS = {
    "oc1": "under-voltage",
    "oc2": "average over-current",
    "oc3": "instantaneous over-current",
}
ADVICE = {
    "oc1": "the supply sags: check it, its cable and its rating",
    "oc2": "the module draws more than its limit: choose a lower power mode",
    "oc3": "more clock is throttled away than the mode gives: choose a lower power mode",
}
#: Events per second above which a channel is news. oc3: twice the rate of the report above.
NOTEWORTHY_PER_S = {"oc1": 0.0, "oc2": 0.0, "oc3": 15.0}
#: Seconds over which a rate is taken.
WINDOW_S = 60.0


class Window(msgspec.Struct, frozen=True):
    """The counts at the beginning of the present window, and the channels that were news in the last one."""

    at_s: float
    counts: dict[str, int]
    rates: dict[str, float] = {}
    """Events per second by channel over the window before."""
    news: tuple[str, ...] = ()


def rates(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Events per second by channel; a count that fell (a reboot) starts at zero.

    Raises ValueError unless `seconds` is above 0.
    """
    if seconds <= 0.0:
        raise ValueError(f"a rate needs time, not {seconds} s")
    return {
        channel: (count - before[channel] if count >= before[channel] else count) / seconds
        for channel, count in after.items()
        if channel in before
    }


def watch(window: Window | None, counts: Mapping[str, int], now_s: float) -> tuple[Window, list[str]]:
    """The window to go on with, and a sentence for each channel that has become news."""
    if window is None:
        return Window(now_s, dict(counts)), []
    seconds = now_s - window.at_s
    if seconds < WINDOW_S:
        return window, []
    found = rates(window.counts, counts, seconds)
    news = {channel: rate for channel, rate in found.items() if rate > NOTEWORTHY_PER_S.get(channel, 0.0)}
    sentences = [
        f"{MEANINGS.get(channel, channel)} ({channel}): {rate * seconds:.0f} events in {seconds:.0f} s; "
        f"{ADVICE.get(channel, 'see the SoC manual')}"
        for channel, rate in news.items()
        if channel not in window.news
    ]
    return Window(now_s, dict(counts), found, tuple(news)), sentences
