"""What is wrong with a device, as a weight and a sentence: the worst come first on the page. Pure."""

from typing import Literal, NamedTuple

from tidewatt_coordinator.web.models import DeviceNow

#: `bad`: somebody should look now. `warn`: look today. `well`: nothing to do.
Weight = Literal["bad", "warn", "well"]

#: Jetsons throttle from about 97 C on and are hot well before.
HOT_C = 90.0
WARM_C = 80.0
#: A clock further off than this puts reports into the wrong bucket.
SKEW_S = 5.0

_ABSENT = {
    "lost": "its connection broke without a goodbye",
    "overdue": "it should be back from its sleep",
    "silent": "no report for too long",
}
_FAILED = {
    "refused": "the board refused the last change",
    "rolled_back": "the last change was taken back",
    "drifted": "something else changes the board's settings",
}


class Problem(NamedTuple):
    """The worst that is known of a device."""

    weight: Weight
    sentence: str


NONE = Problem("well", "")


def problem_of(device: DeviceNow, speed: float = 1.0) -> Problem:
    """The worst first: absent, not believed, hot, then what can wait.

    `speed`: of simulated time, in which a report's delay on its way counts so many times as skew.
    """
    if device.status in _ABSENT:
        return Problem("warn" if device.status == "silent" else "bad", _ABSENT[device.status])
    if device.refused:
        return Problem("bad", device.refused)
    if device.temperature_c is not None and device.temperature_c >= HOT_C:
        return Problem("bad", f"it is {device.temperature_c:.0f} °C hot: throttling is near")
    return _smaller(device, SKEW_S * max(1.0, speed))


def _smaller(device: DeviceNow, skew_s: float) -> Problem:
    if device.policy_status == "refused":
        return Problem("warn", "it refused the policy")
    if device.outcome in _FAILED:
        return Problem("warn", _FAILED[device.outcome])
    if device.temperature_c is not None and device.temperature_c >= WARM_C:
        return Problem("warn", f"it is {device.temperature_c:.0f} °C warm")
    if device.skew_seconds is not None and abs(device.skew_seconds) > skew_s:
        return Problem("warn", f"its clock is {abs(device.skew_seconds):.0f} s off")
    return NONE
