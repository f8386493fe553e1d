"""The AsyncAPI document and the JSON Schemas: whole, and true of every message of every version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from tidewatt_wire.asyncapi import MESSAGES, asyncapi, json_schema
from tidewatt_wire.messages import Message
from tidewatt_wire.topics import DeviceKind, FleetKind, parse

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "tests/golden").glob("*/*.json"))
DOCUMENT = msgspec.to_builtins(asyncapi())


def kind_of(file: Path) -> str:
    return next(name for name in sorted(MESSAGES, key=len, reverse=True) if file.stem.startswith(name))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def found(document: Any, reference: str) -> Any:
    """What a local reference points to; KeyError if nothing."""
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        document = document[step]
    return document


def test_it_has_what_asyncapi_3_requires() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = found(DOCUMENT, operation["channel"]["$ref"])
        # An operation's messages are references to its channel's own, never to the components.
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
        assert set(operation["bindings"]["mqtt"]) == {"qos", "retain", "bindingVersion"}
        assert set(channel["parameters"]) == {
            name
            for name in ("fleet", "device", "zone", "sha256", "index", "alert")
            if f"{{{name}}}" in channel["address"]
        }
    assert len(DOCUMENT["operations"]) == len(DOCUMENT["channels"])


def test_every_reference_leads_somewhere() -> None:
    every = list(references(DOCUMENT))
    assert len(every) > 30
    for reference in every:
        found(DOCUMENT, reference)


def test_every_topic_is_a_channel() -> None:
    names = {"fleet": "berlin", "device": "roof-3", "zone": "roof", "sha256": "ab" * 32, "index": "12"}
    names["alert"] = "budget.cloud.actual-80"
    parsed = [parse(channel["address"].format(**names)) for channel in DOCUMENT["channels"].values()]
    kinds = {getattr(topic, "kind", type(topic).__name__) for topic in parsed}
    assert kinds == {
        *get_args(FleetKind), *get_args(DeviceKind), "AlertTopic", "EnergyTopic", "HintTopic", "ModelTopic",
            "PlanTopic", "WakeTopic",
    }  # fmt: skip


def test_every_message_has_a_schema() -> None:
    assert set(MESSAGES.values()) == set(Message.__subclasses__())


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_golden_message_fits_its_schema(file: Path) -> None:
    message = json.loads(file.read_text())
    kind = MESSAGES[kind_of(file)]
    jsonschema.Draft202012Validator(json_schema(kind)).validate(message)
    whole = {**DOCUMENT, "$ref": f"#/components/schemas/{kind.__name__}"}
    jsonschema.Draft202012Validator(whole).validate(message)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_schema_refuses_what_the_codec_refuses(name: str) -> None:
    schema = json_schema(MESSAGES[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    message = json.loads((ROOT / f"tests/golden/v1.2/{name}.json").read_text())
    for wrong in ({**message, "schema": "2.0"}, {key: message[key] for key in message if key != "schema"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_an_envelope_fits_its_schema() -> None:
    envelope = {
        "payloadType": "application/vnd.tidewatt.policy-set+json",
        "payload": "e30=",
        "signatures": [{"keyid": "2026-11", "sig": "AA=="}],
    }
    schema = DOCUMENT["components"]["schemas"]["PolicyEnvelope"]
    jsonschema.validate(envelope, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**envelope, "signatures": []}, schema)
