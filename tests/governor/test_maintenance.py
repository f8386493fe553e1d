"""When a board may reboot, and for what."""

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.boards import load_profile
from tidewatt_governor.maintenance import is_open, only_by_reboot
from tidewatt_governor.policy import allowed
from tidewatt_wire.messages import MaintenanceWindow, Policy

BOARD = load_profile("orin-nano-super").points
NIGHT = MaintenanceWindow(start="23:30", minutes=90, days=["sat"], zone="Europe/Berlin")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("local", "opened"),
    [
        ("2026-11-21T23:29", False),  # a Saturday
        ("2026-11-21T23:30", True),
        ("2026-11-22T00:59", True),  # still Saturday's
        ("2026-11-22T01:00", False),
        ("2026-11-22T23:45", False),  # a Sunday
        ("2026-11-21T00:15", False),  # Friday's night
    ],
)
def test_the_window(local: str, opened: bool) -> None:
    assert is_open(NIGHT, datetime.fromisoformat(local).replace(tzinfo=BERLIN)) is opened


@given(
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(1, 1440),
    st.dates(date(2026, 1, 1), date(2027, 1, 1)),
)
def test_a_daily_window_is_open_for_its_minutes(hour: int, minute: int, minutes: int, day: date) -> None:
    window = MaintenanceWindow(start=f"{hour:02}:{minute:02}", minutes=minutes)
    midnight = datetime.combine(day, time(), timezone.utc)
    opened = sum(is_open(window, midnight + timedelta(minutes=number)) for number in range(1440))
    assert opened == minutes


@given(
    st.sets(st.sampled_from([point.name for point in BOARD])),
    st.builds(
        Policy,
        mode=st.sampled_from([None, "7W", "15W", "25W", "40W"]),
        max_watts=st.sampled_from([None, 7.0, 15.0, 25.0]),
    ),
)
@settings(max_examples=300)
def test_only_when_nothing_else_is_allowed(barred: set[str], policy: Policy) -> None:
    target = only_by_reboot(BOARD, policy, barred)
    names = {point.name for point in allowed(BOARD, policy)}
    assert (target is None) == bool(names - barred)
    assert target is None or target in names & barred
