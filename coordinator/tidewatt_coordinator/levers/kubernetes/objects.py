"""Settings that are Kubernetes objects, or fields of them.

A part is named by its path at the API: `/apis/.../nodepools/x` is all that we applied there, null if that is
nothing; `/apis/.../deployments/x#spec/replicas` is a field's value, whoever put it. An object is deleted only
if we made it, which its label tells. What others manage is never forced.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tidewatt_coordinator.levers.driver import Content, LeverError, Lost, Order, Throttled, Unsure
from tidewatt_coordinator.levers.kubernetes.client import Document, Kubernetes
from tidewatt_coordinator.levers.kubernetes.managed import ours
from tidewatt_coordinator.levers.standing import canonical_part, expected

#: The label of objects that we made.
MADE = {"app.kubernetes.io/managed-by": "tidewatt"}


def made(path: str, kind: str, spec: Document) -> Document:
    """The content of an object of our own."""
    return {
        "apiVersion": api_version(path),
        "kind": kind,
        "metadata": {"labels": dict(MADE)},
        "spec": spec,
    }


def api_version(path: str) -> str:
    """Of the objects at a path: /api/v1/... or /apis/GROUP/VERSION/..."""
    words = path.split("/")
    return words[2] if words[1] == "api" else f"{words[2]}/{words[3]}"


class Objects:
    """Parts at one API server."""

    def __init__(self, api: Kubernetes) -> None:
        self._api = api
        self.live: dict[str, Document | None] = {}
        """By path, as read last."""

    def read(self, parts: Sequence[str]) -> Content:
        """The parts as they are now."""
        self.live = {path: self._api.find(path) for path in sorted({part.split("#")[0] for part in parts})}
        return {part: self._value(part) for part in parts}

    def send(self, order: Order) -> None:
        """Put what differs; nothing is sent before all of it was tried as a dry run.

        Each object is written on condition that it is still the one that was read here.
        """
        if not expected(order.expect, self.read(list(order.expect))):
            raise Lost(f"{order.target}: not as it was when this was ordered")
        if going := [path for path, live in self.live.items() if live and _ends(live)]:
            raise Throttled(f"{going[0]} is being deleted")
        differing = [part for part in order.put if _differs(order, part)]
        writes = [(path, self._body(path, order.put)) for path in _paths(differing)]
        for path, body in writes:
            if body is not None:
                self._api.apply(path, body, dry_run=True)
        for done, (path, body) in enumerate(writes):
            try:
                self._write(path, body)
            except LeverError as error:
                if done:
                    raise Unsure(f"{done} of {len(writes)} objects were written: {error}") from error
                raise

    def _write(self, path: str, body: Document | None) -> None:
        live = self.live[path]
        if body is not None:
            self._api.apply(path, body)
        elif live is not None:
            self._api.delete(path, live)

    def _value(self, part: str) -> Any:
        path, _, pointer = part.partition("#")
        live = self.live[path]
        if live is None or _ends(live):
            return None
        if pointer:
            return copy.deepcopy(_at(live, pointer.split("/")))
        found = ours(live, self._api.manager)
        if not found:
            return None
        return found | {"apiVersion": api_version(path), "kind": live["kind"]}

    def _body(self, path: str, put: Content) -> Document | None:
        """What we want of an object; None: it is to be deleted."""
        live = self.live[path]
        held = ours(live, self._api.manager) if live else {}
        body = copy.deepcopy(held)
        for part, value in put.items():
            if part == path:
                if value is None and held.get("metadata", {}).get("labels", {}).items() >= MADE.items():
                    return None
                body = copy.deepcopy(value) or {}
            elif part.startswith(f"{path}#"):
                _set(body, part.partition("#")[2].split("/"), value)
        if live is None and not body:
            return None
        words = path.split("/")
        metadata = {**body.get("metadata", {}), "name": words[-1]}
        if "namespaces" in words:
            metadata["namespace"] = words[words.index("namespaces") + 1]
        if live is not None:
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
        kind = live["kind"] if live else body["kind"]
        return {**body, "apiVersion": api_version(path), "kind": kind, "metadata": metadata}


def settled(live: Document | None) -> bool:
    """Whether the cluster has made of an object what it says: rolled out, ready, or gone."""
    if live is None:
        return True
    status = live.get("status") or {}
    if _ends(live):
        return False
    if live["kind"] == "Deployment":
        wanted = live["spec"].get("replicas", 1)
        counts = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
        seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
        return seen and counts == (wanted, wanted) and status.get("replicas", 0) == wanted
    ready = [one["status"] for one in status.get("conditions") or [] if one["type"] == "Ready"]
    # Kinds of Karpenter say Ready; others have no such condition, or not for us.
    return ready == ["True"] if "karpenter" in live["apiVersion"] else ready != ["False"]


def _ends(live: Document) -> bool:
    return "deletionTimestamp" in live["metadata"]


def _differs(order: Order, part: str) -> bool:
    return canonical_part(order.put, part) != canonical_part(order.expect, part)


def _paths(parts: Sequence[str]) -> Iterator[str]:
    yield from dict.fromkeys(part.split("#")[0] for part in parts)


def _at(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, list):
            name, _, wanted = step[1:-1].partition("=")
            value = next((one for one in value if one.get(name) == wanted), None)
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _set(body: Document, steps: Sequence[str], value: Any) -> None:
    if value is None:
        _drop(body, steps)
        return
    node: Any = body
    for step, after in pairwise(steps):
        node = _enter(node, step, [] if after.startswith("[") else {})
    node[steps[-1]] = copy.deepcopy(value)


def _drop(node: Any, steps: Sequence[str]) -> None:
    """Take a value away, and what is empty without it: an empty object would be said to be ours whole."""
    if len(steps) == 1:
        node.pop(steps[0], None)
        return
    inner = _at(node, steps[:1])
    if isinstance(inner, (dict, list)):
        _drop(inner, steps[1:])
        if not inner:
            node.pop(steps[0])


def _enter(node: Any, step: str, empty: Any) -> Any:
    if not step.startswith("["):
        return node.setdefault(step, empty)
    name, _, wanted = step[1:-1].partition("=")
    for one in node:
        if one.get(name) == wanted:
            return one
    node.append({name: wanted})
    return node[-1]
