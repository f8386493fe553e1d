"""The fields of a Kubernetes object, as server-side apply and managedFields see them."""

import copy
import json
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
Fields = frozenset[tuple[str, ...]]
"""Paths of leaves, each step as managedFields writes it."""

#: By the field's name, the keys of lists that are maps in the built-in kinds that the tests use.
KEYS = {
    "containers": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every leaf of a configuration; a list without keys is one."""
    if isinstance(value, dict) and value:
        for name, held in value.items():
            yield from leaves(held, (*path, f"f:{name}"))
    elif isinstance(value, list) and path[-1][2:] in KEYS:
        for one in value:
            keys = {name: one[name] for name in KEYS[path[-1][2:]]}
            step = "k:" + json.dumps(keys, sort_keys=True, separators=(",", ":"))
            yield (*path, step)
            yield from leaves(one, (*path, step))
    else:
        yield path


def at(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at a leaf; None if nothing."""
    for step in path:
        if isinstance(value, list):
            keys = json.loads(step[2:])
            value = next((one for one in value if keys.items() <= one.items()), None)
        else:
            value = (value or {}).get(step[2:])
    return value


def put(document: Document, path: tuple[str, ...], value: Any) -> None:
    """Make a leaf stand there, and what leads to it."""
    node: Any = document
    for step, after in zip(path, (*path[1:], ""), strict=True):
        if step.startswith("k:"):
            keys = json.loads(step[2:])
            found = next((one for one in node if keys.items() <= one.items()), None)
            if found is None:
                found = dict(keys)
                node.append(found)
            node = found
        elif after:
            node = node.setdefault(step[2:], [] if after.startswith("k:") else {})
        else:
            node[step[2:]] = copy.deepcopy(value)


def drop(document: Any, path: tuple[str, ...]) -> None:
    """Take a leaf away, and what is empty without it."""
    holder = at(document, path[:-1])
    if isinstance(holder, list):
        keys = json.loads(path[-1][2:])
        holder[:] = [one for one in holder if not keys.items() <= one.items()]
    elif holder:
        holder.pop(path[-1][2:], None)
    if holder == [] or (holder == {} and len(path) > 1):
        drop(document, path[:-1])


def tree(fields: Fields) -> Document:
    """FieldsV1."""
    found: Document = {}
    for path in sorted(fields):
        node = found
        for step in path:
            node = node.setdefault(step, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return found


def cluster_wide(path: str) -> str:
    """The path without its namespace."""
    words = path.split("/")
    if "namespaces" in words:
        del words[words.index("namespaces") : words.index("namespaces") + 2]
    return "/".join(words)


def configured(document: Document) -> Document:
    """What managers own: not what the server says by itself."""
    metadata = {
        key: document["metadata"][key] for key in ("labels", "annotations") if key in document["metadata"]
    }
    rest = {
        key: value
        for key, value in document.items()
        if key not in ("apiVersion", "kind", "metadata", "status")
    }
    return rest | ({"metadata": metadata} if metadata else {})
