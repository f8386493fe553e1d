"""Every MQTT topic, built and parsed here and nowhere else.

A device owns what lies below its own id, so a broker can hold it to that with one ACL
pattern. The major schema version stands in the topic: a breaking change is a new tree.

    tidewatt/v1/<fleet>/policy                  policy set, retained, coordinator -> devices
    tidewatt/v1/<fleet>/dispatch                dispatch table, retained, coordinator -> routers
    tidewatt/v1/<fleet>/state                   whether a coordinator is there, retained
    tidewatt/v1/<fleet>/audit                   where the audit ends, retained, coordinator -> people
    tidewatt/v1/<fleet>/energy/<zone>           what energy is worth now, retained, coordinator -> devices
    tidewatt/v1/<fleet>/model/<sha256>/<index>  a chunk of a forecast model, retained, coordinator -> devices
    tidewatt/v1/<fleet>/alert/<name>            an alert, retained, coordinator -> people
    tidewatt/v1/<fleet>/hint/<device>           a hint to sleep, signed, retained, coordinator -> device
    tidewatt/v1/<fleet>/plan/<device>           what the plan asks of it, signed, retained, to the device
    tidewatt/v1/<fleet>/wake/<device>           an order to wake a neighbour, signed, coordinator -> device
    tidewatt/v1/<fleet>/device/<device>/birth   retained, device -> coordinator
    tidewatt/v1/<fleet>/device/<device>/report  device -> coordinator
    tidewatt/v1/<fleet>/device/<device>/will    retained, broker or device -> coordinator
    tidewatt/v1/<fleet>/device/<device>/ack     retained, device -> coordinator
    tidewatt/v1/<fleet>/device/<device>/sleep   asleep until when, or awake: retained, device -> coordinator
"""

import re
from typing import Literal

import msgspec

ROOT = "tidewatt/v1"
#: The MQTT user property of a report that comes from a spool, or is told again: it tells of the past.
REPLAYED = "replayed"

FleetKind = Literal["policy", "dispatch", "state", "audit"]
DeviceKind = Literal["birth", "report", "will", "ack", "sleep"]

#: Names of fleets, devices, sites: safe in a topic, a URL, a file name and a hostname.
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_NAME = re.compile(NAME_PATTERN)
_SHA256 = re.compile("[0-9a-f]{64}")
_INDEX = re.compile("0|[1-9][0-9]{0,2}")


class FleetTopic(msgspec.Struct, frozen=True):
    """A topic that the whole fleet shares."""

    fleet: str
    kind: FleetKind

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/{self.kind}"


class DeviceTopic(msgspec.Struct, frozen=True):
    """A topic that one device owns."""

    fleet: str
    device: str
    kind: DeviceKind

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/device/{self.device}/{self.kind}"


class EnergyTopic(msgspec.Struct, frozen=True):
    """What energy is worth in a tariff zone."""

    fleet: str
    zone: str

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/energy/{self.zone}"


class ModelTopic(msgspec.Struct, frozen=True):
    """A chunk of a forecast model."""

    fleet: str
    sha256: str
    index: int

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/model/{self.sha256}/{self.index}"


class AlertTopic(msgspec.Struct, frozen=True):
    """An alert."""

    fleet: str
    name: str

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/alert/{self.name}"


class HintTopic(msgspec.Struct, frozen=True):
    """What one device is hinted to do."""

    fleet: str
    device: str

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/hint/{self.device}"


class PlanTopic(msgspec.Struct, frozen=True):
    """What the fleet's plan asks of one device."""

    fleet: str
    device: str

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/plan/{self.device}"


class WakeTopic(msgspec.Struct, frozen=True):
    """Whom one device is to wake: not retained, as it is for now or for never."""

    fleet: str
    device: str

    def __str__(self) -> str:
        """The topic as MQTT writes it."""
        return f"{ROOT}/{self.fleet}/wake/{self.device}"


#: What is said to one device, by the level of its topic.
TO_ONE: dict[str, type[HintTopic | PlanTopic | WakeTopic]] = {
    "hint": HintTopic,
    "plan": PlanTopic,
    "wake": WakeTopic,
}

Topic = FleetTopic | DeviceTopic | EnergyTopic | ModelTopic | AlertTopic | HintTopic | PlanTopic | WakeTopic


def check_name(name: str, what: str) -> str:
    """Return `name`, or raise ValueError with one sentence that says which name is bad and why."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} {name!r} is not a name: use 1 to 63 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return name


def every_device(fleet: str, kind: DeviceKind) -> str:
    """The subscription filter for one kind of message from all devices of a fleet."""
    return f"{ROOT}/{fleet}/device/+/{kind}"


def every_chunk(fleet: str, sha256: str) -> str:
    """The subscription filter for all chunks of a model."""
    return f"{ROOT}/{fleet}/model/{sha256}/+"


def parse(topic: str) -> Topic:
    """The parsed form of `topic`; ValueError names what is wrong with a foreign one."""
    parts = topic.split("/")
    if "/".join(parts[:2]) != ROOT:
        raise ValueError(f"topic {topic!r} does not begin with {ROOT}/")
    match parts[2:]:
        case [fleet, ("policy" | "dispatch" | "state" | "audit") as kind]:
            return FleetTopic(check_name(fleet, "fleet"), kind)
        case [fleet, "device", device, ("birth" | "report" | "will" | "ack" | "sleep") as kind]:
            return DeviceTopic(check_name(fleet, "fleet"), check_name(device, "device"), kind)
        case [fleet, "energy", zone]:
            return EnergyTopic(check_name(fleet, "fleet"), check_name(zone, "tariff zone"))
        case [fleet, ("hint" | "plan" | "wake") as kind, device]:
            return TO_ONE[kind](check_name(fleet, "fleet"), check_name(device, "device"))
        case [fleet, "alert", name]:
            return AlertTopic(check_name(fleet, "fleet"), check_name(name, "alert"))
        case [fleet, "model", sha256, index] if _SHA256.fullmatch(sha256) and _INDEX.fullmatch(index):
            return ModelTopic(check_name(fleet, "fleet"), sha256, int(index))
    raise ValueError(f"topic {topic!r} is none of Tidewatt's; see the list in tidewatt_wire.topics")
