"""Who manages which fields of a Kubernetes object, by its managedFields. Pure.

A field's set is Kubernetes' FieldsV1: `f:NAME` is a field, `k:{...}` an item of a list by its keys, `v:...`
one of a set by its value, `.` the thing itself, and an empty one the whole value.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

Document = dict[str, Any]
MISSING = object()


def ours(document: Document, manager: str) -> Document:
    """What a manager has applied and still owns, as it is now; empty if that is nothing."""
    for entry in document["metadata"].get("managedFields", []):
        applied = entry["manager"] == manager and entry["operation"] == "Apply"
        if applied and not entry.get("subresource"):
            found = _extract(document, entry["fieldsV1"])
            return found if isinstance(found, dict) else {}
    return {}


def others(document: Document, manager: str, steps: Sequence[str]) -> list[str]:
    """The other managers of a field, or of anything within it. Steps are names, or `[key=value]`."""
    found = set()
    for entry in document["metadata"].get("managedFields", []):
        if entry["manager"] != manager or entry["operation"] != "Apply":
            node: Any = entry["fieldsV1"]
            for step in steps:
                node = next((held for key, held in node.items() if _is(key, step)), None)
                if node is None:
                    break
            if node is not None:
                found.add(entry["manager"])
    return sorted(found)


def _is(key: str, step: str) -> bool:
    if not step.startswith("["):
        return key == f"f:{step}"
    name, _, value = step[1:-1].partition("=")
    return key.startswith("k:") and json.loads(key[2:]).get(name) == value


def _extract(value: Any, fields: Document) -> Any:
    inner = {key: held for key, held in fields.items() if key != "."}
    if not inner:
        return value
    if isinstance(value, dict):
        pairs = ((key[2:], held) for key, held in inner.items() if key.startswith("f:"))
        found = {name: _extract(value[name], held) for name, held in pairs if name in value}
        return {name: held for name, held in found.items() if held is not MISSING}
    return list(_items(value, inner)) if isinstance(value, list) else MISSING


def _items(values: list[Any], fields: Document) -> Iterator[Any]:
    for value in values:
        for key, held in fields.items():
            if key.startswith("v:") and json.loads(key[2:]) == value:
                yield value
            elif key.startswith("k:") and _has(value, json.loads(key[2:])):
                yield _extract(value, held)


def _has(value: Any, keys: Document) -> bool:
    return isinstance(value, dict) and all(value.get(name) == wanted for name, wanted in keys.items())
