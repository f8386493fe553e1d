"""Baselines: what the same requests would have used in one mode all the time."""

import pytest

from tidewatt_coordinator.ledger.baselines import DeviceModel, Outcome, Stretch, compare, fixed, modelled
from tidewatt_governor.boards import BoardProfile

HOUR_MS = 3_600_000


def test_a_fixed_mode_follows_its_operating_point(profile: BoardProfile) -> None:
    hour = Stretch(requests=100 * 3600, mode_ms={"7W": HOUR_MS // 2, "25W": HOUR_MS // 2})
    point = profile.point("15W")
    assert fixed([hour], point, 60.0) == Outcome(round((4.0 + 100 * 0.03636) * 3600 * 1000), 0)
    assert fixed([hour], profile.point("7W"), 60.0).violating_ms == 0
    assert fixed([Stretch(150 * 3600, {"7W": HOUR_MS})], profile.point("7W"), 60.0).violating_ms == HOUR_MS
    assert modelled([hour], profile.points) == pytest.approx((3.5 + 2.917 + 4.8 + 3.697) * 1800 * 1000, abs=2)


def test_the_best_fixed_mode_keeps_the_promise_first(profile: BoardProfile) -> None:
    model = DeviceModel(profile.points, profile.vendor_default, 60.0)
    calm = [Stretch(50 * 3600, {"25W": HOUR_MS})] * 10
    busy = [Stretch(250 * 3600, {"25W": HOUR_MS})] * 10
    assert compare({"a": (model, calm)}).best_fixed_point == "7W"
    both = compare({"a": (model, calm), "b": (model, busy)})
    assert both.best_fixed_point == "25W", "one mode for the whole fleet"
    assert both.best_fixed is not None
    assert both.best_fixed.violating_ms == 0
    assert both.max_freq.energy_mj > both.vendor_default.energy_mj == both.best_fixed.energy_mj


def test_devices_that_share_no_mode_have_no_best_one(profile: BoardProfile) -> None:
    one = DeviceModel(profile.points[:1], "15W", 60.0)
    other = DeviceModel(profile.points[1:2], "25W", 60.0)
    stretch = [Stretch(3600, {"15W": HOUR_MS})]
    none = compare({"a": (one, stretch), "b": (other, stretch)})
    assert (none.best_fixed, none.best_fixed_point) == (None, "")
    with pytest.raises(ValueError, match="no device"):
        compare({})
