"""What OpenAPI says of a body that is read as it came, and of answers that are no success."""

from typing import Any

import msgspec

from tidewatt_coordinator.web.problems import MEDIA_TYPE

_REF = "#/$defs/"
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
_TOLD = {"description": "A problem (RFC 9457)", "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
#: For every route; 422 would else be FastAPI's own.
RESPONSES: dict[int | str, dict[str, Any]] = {"default": _TOLD, 422: _TOLD}


def body(kind: Any) -> dict[str, Any]:
    """A route's `openapi_extra` for a body of this msgspec type."""
    schema = msgspec.json.schema(kind)
    definitions = schema.pop("$defs", {})
    content = {"application/json": {"schema": _inlined(schema, definitions, ())}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(part: Any, definitions: dict[str, Any], above: tuple[str, ...]) -> Any:
    """The same without references, which OpenAPI would look for elsewhere; what holds itself is any value."""
    if isinstance(part, list):
        return [_inlined(one, definitions, above) for one in part]
    if not isinstance(part, dict):
        return part
    name = str(part.get("$ref", "")).removeprefix(_REF)
    if name in above:
        return {}
    if name:
        return _inlined(definitions[name], definitions, (*above, name))
    return {key: _inlined(value, definitions, above) for key, value in part.items() if key != "discriminator"}
