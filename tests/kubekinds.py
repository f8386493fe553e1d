"""What an API server says of the kinds that it has, so that kubectl finds them: discovery and OpenAPI.

And the two kinds that kubectl sends as protocol buffers, read.
"""

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

Document = dict[str, Any]
#: What every kind here can be asked.
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


class Kind(NamedTuple):
    """One, as discovery tells it."""

    version: str
    """GROUP/VERSION, or `v1` of the core."""
    plural: str
    name: str
    namespaced: bool = True

    @property
    def root(self) -> str:
        return f"/{'apis' if '/' in self.version else 'api'}/{self.version}"


BUILT_IN = (
    Kind("v1", "namespaces", "Namespace", namespaced=False),
    Kind("v1", "configmaps", "ConfigMap"),
    Kind("v1", "events", "Event"),
    Kind("v1", "pods", "Pod"),
    Kind("v1", "secrets", "Secret"),
    Kind("v1", "serviceaccounts", "ServiceAccount"),
    Kind("v1", "services", "Service"),
    Kind(
        "apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
    ),
    Kind("apps/v1", "deployments", "Deployment"),
    Kind("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
    Kind("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Kind("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
    Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Kind("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
)
#: Of a definition that somebody installs.
POD_MONITOR = Kind("monitoring.coreos.com/v1", "podmonitors", "PodMonitor")


def told(path: str, kinds: tuple[Kind, ...]) -> Document | None:
    """The answer to a question about kinds; None where a path asks for something else."""
    versions = dict.fromkeys(one.version for one in kinds)
    roots = {one.root: one.version for one in kinds}
    answers: dict[str, Document] = {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(one) for one in versions if "/" in one],
        },
        "/openapi/v3": {"paths": {root[1:]: {"serverRelativeURL": f"/openapi/v3{root}"} for root in roots}},
    }
    for root, version in roots.items():
        here = [one for one in kinds if one.root == root]
        answers[root] = _resources(version, here)
        answers[f"/openapi/v3{root}"] = _openapi(here)
    return answers.get(path)


def _group(version: str) -> Document:
    one = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [one], "preferredVersion": one}


def _resources(version: str, kinds: list[Kind]) -> Document:
    resources = [
        {
            "name": one.plural,
            "singularName": one.name.lower(),
            "kind": one.name,
            "namespaced": one.namespaced,
            "verbs": VERBS,
        }
        for one in kinds
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _openapi(kinds: list[Kind]) -> Document:
    """As much of it as says that the server itself refuses fields that there are not."""
    paths = {}
    for one in kinds:
        group, _, version = one.version.rpartition("/")
        inside = "/namespaces/{namespace}" if one.namespaced else ""
        paths[f"{one.root}{inside}/{one.plural}/{{name}}"] = {
            "patch": {
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": one.name},
            }
        }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.37.0"}, "paths": paths}


#: Fields of messages by number: name, what is in it (`*` before it: many), or nothing for text.
#: From k8s.io/api's generated.proto.
MESSAGES = {
    "Unknown": {1: ("type", "TypeMeta"), 2: ("raw", "bytes")},
    "TypeMeta": {1: ("apiVersion", ""), 2: ("kind", "")},
    "ObjectMeta": {1: ("name", ""), 3: ("namespace", "")},
    "Secret": {1: ("metadata", "ObjectMeta"), 2: ("data", "map"), 3: ("type", "")},
    "ServiceAccount": {1: ("metadata", "ObjectMeta")},
    "TokenRequest": {1: ("metadata", "ObjectMeta")},
    "RoleBinding": {1: ("metadata", "ObjectMeta"), 2: ("subjects", "*Subject"), 3: ("roleRef", "RoleRef")},
    "Subject": {1: ("kind", ""), 2: ("apiGroup", ""), 3: ("name", ""), 4: ("namespace", "")},
    "RoleRef": {1: ("apiGroup", ""), 2: ("kind", ""), 3: ("name", "")},
}
MAGIC = b"k8s\x00"


def from_protobuf(content: bytes) -> Document:
    """What kubectl sent as `application/vnd.kubernetes.protobuf`."""
    assert content.startswith(MAGIC)
    outer = _message(content[len(MAGIC) :], "Unknown")
    kind: Document = outer["type"]
    return kind | _message(outer["raw"], kind["kind"])


def _message(content: bytes, kind: str) -> Document:
    found: Document = {}
    for number, value in _parts(content):
        name, inside = MESSAGES[kind].get(number, ("", ""))
        if not name or not value:
            continue
        if inside == "map":
            key, held = (part for _, part in _parts(value))
            found.setdefault(name, {})[key.decode()] = base64.b64encode(held).decode()
        elif inside.startswith("*"):
            found.setdefault(name, []).append(_message(value, inside[1:]))
        elif inside == "bytes":
            found[name] = value
        else:
            found[name] = _message(value, inside) if inside else value.decode()
    return found


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field that has a length; numbers are left out: nothing here has one."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(content):
        tag = number()
        size = number()
        if tag & 7 == 2:
            yield tag >> 3, content[at : at + size]
            at += size
