"""What one device says, with everything that a device can say."""

from tidewatt_governor.boards import load_profile
from tidewatt_governor.sample import Clocked, Core, Fan, Rail, Sample, Temperature
from tidewatt_wire.messages import Birth, Counters, Gauges, Report, Verdict

#: A sample with everything that any board shows, so that every family has a series.
EVERYTHING = Sample(
    cores=(Core(0.5, 1_000_000_000),),
    emc=Clocked(use=0.1, hertz=(2_133_000_000,)),
    gpus={"GR3D": Clocked(use=0.2, hertz=(306_000_000,))},
    temperatures={"tj": Temperature(45.0)},
    rails=(Rail("VDD_IN", 5.0),),
    caps={"EMC": 2_133_000_000},
    fan=Fan(duty=0.4, rpm=1800),
    over_current={"oc1": 0},
)
REPORT = Report(
    device="device",
    session="session",
    epoch="epoch",
    seq=1,
    at_ms=0,
    counters=Counters(mode_ms={"15W": 1}),
    gauges=Gauges(point="15W", watts=5.0, requests_rps=10.0, p95_ms=20.0, temperature_c=45.0),
    verdict=Verdict(point="15W", rule="cheapest", reason="", outcome="unchanged"),
)


def birth() -> Birth:
    """The birth message of that device."""
    return Birth(
        device="device",
        session="s",
        epoch="epoch",
        at_ms=0,
        version="0",
        board="board",
        control="observe",
        points=load_profile("orin-nano-super").points,
    )
