"""What energy is worth, as a device hears it."""

import pytest

from tidewatt_agent.signals import Signals, Worth
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import EnergySignal, EnergyStep
from tidewatt_wire.topics import EnergyTopic, parse

ROOF = EnergyTopic("berlin", "roof")
SIGNAL = EnergySignal(
    fleet="berlin",
    zone="roof",
    issued_at_ms=1_000,
    expires_at_ms=9_000,
    steps=[EnergyStep(start_ms=2_000, price=0.5), EnergyStep(start_ms=5_000, price=2.0, carbon=3.0)],
)


class Device:
    """A device whose policy names a zone, or none."""

    def __init__(self, zone: str | None = "roof") -> None:
        self.zone = zone
        self.signals = Signals("berlin", lambda: self.zone)


def test_each_moment_is_worth_what_its_step_says_until_the_signal_expires() -> None:
    device = Device()
    device.signals.take(ROOF, encode(SIGNAL))
    worth = {at: device.signals.at(at) for at in (1_999, 2_000, 4_999, 5_000, 8_999, 9_000)}
    assert worth == {
        1_999: Worth(),
        2_000: Worth(0.5),
        4_999: Worth(0.5),
        5_000: Worth(2.0, 3.0),
        8_999: Worth(2.0, 3.0),
        9_000: Worth(),
    }


def test_only_the_policys_zone_is_followed() -> None:
    device = Device(zone=None)
    assert device.signals.topics == []
    device.signals.take(ROOF, encode(SIGNAL))
    device.zone = "roof"
    assert device.signals.topics == [str(ROOF)]
    assert parse(device.signals.topics[0]) == ROOF
    assert device.signals.at(2_000) == Worth()
    device.signals.take(ROOF, encode(SIGNAL))
    device.zone = "cellar"
    assert device.signals.at(2_000) == Worth()


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b'{"schema":"2.0"}',
        encode(SIGNAL).replace(b'"zone":"roof"', b'"zone":"yard"'),
        encode(SIGNAL).replace(b'"fleet":"berlin"', b'"fleet":"paris"'),
        encode(SIGNAL).replace(b'"price":0.5', b'"price":-1'),
        encode(SIGNAL).replace(b'"price":0.5', b'"price":1e9'),
    ],
)
def test_a_bad_signal_is_counted_and_leaves_the_last_good_one(
    bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device()
    device.signals.take(ROOF, encode(SIGNAL))
    device.signals.take(ROOF, bad)
    assert device.signals.refused == 1
    assert "energy signal refused" in caplog.text
    assert device.signals.at(2_000) == Worth(0.5)


def test_a_signal_that_is_taken_away_is_worth_nothing_more() -> None:
    device = Device()
    device.signals.take(ROOF, encode(SIGNAL))
    device.signals.take(ROOF, b"")
    assert device.signals.at(2_000) == Worth()
