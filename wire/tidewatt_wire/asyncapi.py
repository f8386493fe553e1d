"""The conversation as documents for machines: AsyncAPI 3.0, and a JSON Schema for every message.

Made from the topics and the messages themselves, so that neither can say what the code doesn't.
"""

from typing import Any, Literal

import msgspec

from tidewatt_wire.messages import (
    SCHEMA,
    SCHEMA_MAJOR,
    Ack,
    Alert,
    AuditAnchor,
    Birth,
    CoordinatorState,
    DispatchTable,
    EnergySignal,
    Message,
    PolicySet,
    Report,
    Will,
)
from tidewatt_wire.planned import PlanHint
from tidewatt_wire.sleeping import SleepHint, SleepState, WakeOrder
from tidewatt_wire.topics import (
    NAME_PATTERN,
    REPLAYED,
    ROOT,
    AlertTopic,
    DeviceTopic,
    EnergyTopic,
    FleetTopic,
    HintTopic,
    ModelTopic,
    PlanTopic,
    Topic,
    WakeTopic,
)

#: JSON documents, as json.dumps takes them.
Document = dict[str, Any]

VERSION = "3.0.0"
MQTT_BINDING = "0.2.0"
DRAFT = "https://json-schema.org/draft/2020-12/schema"

#: Every message by the name of its schema file.
MESSAGES: dict[str, type[Message]] = {
    "birth": Birth,
    "report": Report,
    "will": Will,
    "ack": Ack,
    "policy_set": PolicySet,
    "coordinator_state": CoordinatorState,
    "dispatch_table": DispatchTable,
    "energy_signal": EnergySignal,
    "alert": Alert,
    "audit_anchor": AuditAnchor,
    "sleep_state": SleepState,
    "sleep_hint": SleepHint,
    "plan_hint": PlanHint,
    "wake_order": WakeOrder,
}

_FLEET, _DEVICE, _ZONE, _SHA256, _INDEX = "{fleet}", "{device}", "{zone}", "{sha256}", "{index}"
_ALERT = "{alert}"
_PARAMETERS: Document = {
    "fleet": {"description": f"The fleet's name: {NAME_PATTERN}"},
    "device": {"description": f"The device's id: {NAME_PATTERN}"},
    "sha256": {"description": "The model's SHA-256, 64 lower-case hexadecimal digits"},
    "zone": {"description": f"The tariff zone's name, which is a site's: {NAME_PATTERN}"},
    "index": {"description": "The chunk's number, from 0"},
    "alert": {"description": f"What the alert is about: {NAME_PATTERN}"},
}


class _Channel(msgspec.Struct, frozen=True):
    """A topic, what is said on it and by whom, seen from the device."""

    name: str
    address: str
    message: str
    action: Literal["send", "receive"]
    summary: str
    retain: bool = True


def _address(topic: Topic) -> str:
    return str(topic)


_CHANNELS = (
    _Channel("birth", _address(DeviceTopic(_FLEET, _DEVICE, "birth")), "Birth", "send", "A session begins."),
    _Channel(
        "report",
        _address(DeviceTopic(_FLEET, _DEVICE, "report")),
        "Report",
        "send",
        "Cumulative counters and the present state, every few seconds.",
        retain=False,
    ),
    _Channel(
        "will",
        _address(DeviceTopic(_FLEET, _DEVICE, "will")),
        "Will",
        "send",
        "A session ended: said by the device, or by the broker as its last will.",
    ),
    _Channel(
        "ack", _address(DeviceTopic(_FLEET, _DEVICE, "ack")), "Ack", "send", "The answer to a policy set."
    ),
    _Channel(
        "sleep",
        _address(DeviceTopic(_FLEET, _DEVICE, "sleep")),
        "SleepState",
        "send",
        "Asleep until when, or awake and what became of the last nap; from boards that may sleep. Signed by "
        "those with a certificate: an envelope of type `application/vnd.tidewatt.sleep-state+json` is in it.",
    ),
    _Channel(
        "hint",
        _address(HintTopic(_FLEET, _DEVICE)),
        "SleepHint",
        "receive",
        "Not needed before a time: it may sleep. In an envelope as the policy's, of type "
        "`application/vnd.tidewatt.sleep-hint+json`.",
    ),
    _Channel(
        "plan",
        _address(PlanTopic(_FLEET, _DEVICE)),
        "PlanHint",
        "receive",
        "The point that the fleet's plan asks for. In an envelope as the policy's, of type "
        "`application/vnd.tidewatt.plan-hint+json`.",
    ),
    _Channel(
        "wake",
        _address(WakeTopic(_FLEET, _DEVICE)),
        "WakeOrder",
        "receive",
        "Wake a neighbour by a magic packet. In an envelope as the policy's, of type "
        "`application/vnd.tidewatt.wake-order+json`.",
    ),
    _Channel(
        "policy",
        _address(FleetTopic(_FLEET, "policy")),
        "PolicyEnvelope",
        "receive",
        "The fleet's policy set, signed.",
    ),
    _Channel(
        "state",
        _address(FleetTopic(_FLEET, "state")),
        "CoordinatorState",
        "receive",
        "Whether a coordinator is there; the broker says `lost` as its last will.",
    ),
    _Channel(
        "model",
        _address(ModelTopic(_FLEET, _SHA256, 0)).removesuffix("0") + _INDEX,
        "ModelChunk",
        "receive",
        "A chunk of a forecast model that the policy names.",
    ),
    _Channel(
        "energy",
        _address(EnergyTopic(_FLEET, _ZONE)),
        "EnergySignal",
        "receive",
        "What energy is worth by the hour, for devices whose policy names the zone.",
    ),
    _Channel(
        "dispatch",
        _address(FleetTopic(_FLEET, "dispatch")),
        "DispatchTable",
        "receive",
        "The routing weights, for routers, in a signed envelope; void after `expires_at_ms`.",
    ),
    _Channel(
        "audit",
        _address(FleetTopic(_FLEET, "audit")),
        "AuditAnchor",
        "receive",
        "Where the coordinator's audit ends, for who checks it later; devices don't read it.",
    ),
    _Channel(
        "alert",
        _address(AlertTopic(_FLEET, _ALERT)),
        "Alert",
        "receive",
        "An alert as it stands, for people; devices don't read it.",
    ),
)

#: DSSE, see ADR 0016. Not a message with a schema version of ours: what it holds has one.
_ENVELOPE: Document = {
    "title": "PolicyEnvelope",
    "description": "A DSSE envelope: the base64 text holds a PolicySet, the signatures stand for its bytes.",
    "type": "object",
    "properties": {
        "payloadType": {"const": "application/vnd.tidewatt.policy-set+json"},
        "payload": {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "application/vnd.tidewatt.policy-set+json",
        },
        "signatures": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "keyid": {"type": "string"},
                    "sig": {"type": "string", "contentEncoding": "base64"},
                },
                "required": ["keyid", "sig"],
            },
        },
    },
    "required": ["payloadType", "payload", "signatures"],
}


def json_schema(kind: type[Message]) -> Document:
    """The JSON Schema of one message, by itself."""
    schema = msgspec.json.schema(kind)
    _demand_version(schema["$defs"], [kind])
    return {"$schema": DRAFT, **schema}


def asyncapi() -> Document:
    """The AsyncAPI document of a device's side of the conversation."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Tidewatt",
            "version": SCHEMA,
            "description": "What a device sends and receives over MQTT 5; the coordinator does the reverse. "
            "Additive within a major version: a reader ignores fields it doesn't know. "
            f"Another major version has topics of its own, below another root than {ROOT}.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in _CHANNELS},
        "operations": {f"{channel.action}_{channel.name}": _operation(channel) for channel in _CHANNELS},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(channel: _Channel) -> Document:
    return {
        "address": channel.address,
        "summary": channel.summary,
        "messages": {channel.message: {"$ref": f"#/components/messages/{channel.message}"}},
        "parameters": {
            name: about for name, about in _PARAMETERS.items() if f"{{{name}}}" in channel.address
        },
    }


def _operation(channel: _Channel) -> Document:
    here = f"#/channels/{channel.name}"
    return {
        "action": channel.action,
        "channel": {"$ref": here},
        "summary": channel.summary,
        "messages": [{"$ref": f"{here}/messages/{channel.message}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": MQTT_BINDING}},
    }


def _messages() -> Document:
    messages: Document = {}
    for channel in _CHANNELS:
        name = channel.message
        messages[name] = {"name": name, "contentType": "application/json"}
        if name == "ModelChunk":
            messages[name]["contentType"] = "application/octet-stream"
        else:
            messages[name]["payload"] = {"$ref": f"#/components/schemas/{name}"}
    messages["Report"]["headers"] = {
        "type": "object",
        "description": "MQTT user properties.",
        "properties": {
            REPLAYED: {
                "const": "1",
                "description": "It waited in the device's spool, or is told again: it tells of the past.",
            }
        },
    }
    return messages


def _schemas() -> Document:
    kinds = list(MESSAGES.values())
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    _demand_version(schemas, kinds)
    return dict(sorted({**schemas, "PolicyEnvelope": _ENVELOPE}.items()))


def _demand_version(schemas: Document, kinds: list[type[Message]]) -> None:
    """What the codec demands of every message: that it says its version, and that it is of this major one."""
    for kind in kinds:
        schema = schemas[kind.__name__]
        schema["properties"]["schema"]["pattern"] = f"^{SCHEMA_MAJOR}(\\.|$)"
        schema["required"] = ["schema", *schema.get("required", [])]
