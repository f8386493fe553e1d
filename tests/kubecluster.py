"""A cluster that the real kubectl talks to: namespaces, patches as a server merges them, watches, and a
controller that brings a Deployment's pods up one by one, or can't: something lacks, or it is told so.
"""

import base64
import copy
import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from tests.kubeapi import Answers, KubeApi, Refused, listening
from tests.kubefields import Document, cluster_wide, configured, leaves
from tests.kubekinds import BUILT_IN, Kind, from_protobuf, told

#: By field, the key of lists that a strategic merge patch merges; every other list is replaced.
MERGED = {
    "containers": "name",
    "env": "name",
    "initContainers": "name",
    "subjects": "",
    "topologySpreadConstraints": "topologyKey",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
DEPLOYMENTS = "/apis/apps/v1/deployments"
#: A Swagger document that knows no kinds, as protocol buffers: kubectl asks for it when version 3 lacks one.
NO_OPENAPI_V2 = b"\n\x032.0"
#: Seconds for which a watch says nothing more before it ends.
QUIET_S = 30.0


def merged(now: Document, patch: Document, *, strategic: bool) -> Document:
    """What stands there once a patch is in it."""
    found = dict(now)
    retained = patch.get("$retainKeys")
    if retained is not None:
        found = {key: value for key, value in found.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            held = found.get(key)
            found[key] = merged(held if isinstance(held, dict) else {}, value, strategic=strategic)
        elif strategic and isinstance(value, list) and MERGED.get(key):
            order = [one[MERGED[key]] for one in patch.get(f"$setElementOrder/{key}", ())]
            found[key] = _merged_list(found.get(key, []), value, MERGED[key], order)
        else:
            found[key] = value
    return found


def _merged_list(now: list[Document], patch: list[Document], name: str, order: list[str]) -> list[Document]:
    held = {one[name]: one for one in now}
    for one in patch:
        if one.get("$patch") == "delete":
            held.pop(one[name], None)
        else:
            held[one[name]] = merged(held.get(one[name], {}), one, strategic=True)
    known = [one for one in order if one in held]
    return [held[one] for one in dict.fromkeys([*known, *held])]


def references(pod: Document) -> Iterator[tuple[str, str, str]]:
    """Path of the list, name, and key (or nothing) of all that a pod can't start without."""
    yield "serviceaccounts", pod.get("serviceAccountName", "default"), ""
    for volume in pod.get("volumes", ()):
        if "secret" in volume:
            yield "secrets", volume["secret"]["secretName"], ""
        if "configMap" in volume:
            yield "configmaps", volume["configMap"]["name"], ""
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        for variable in container.get("env", ()):
            if one := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield "secrets", one["name"], one["key"]


class Cluster(KubeApi):
    """One with some namespaces, in which nothing of ours is yet."""

    def __init__(self, *definitions: Kind, namespaces: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.known = (*BUILT_IN, *definitions)
        self.kinds = {f"{one.root}/{one.plural}" for one in self.known}
        self.stalls = False
        """Whether no pod gets ready, for whatever reason."""
        self.log = ""
        """What the first pod of all says when it starts."""
        for name in ("default", "kube-system", *namespaces):
            self.create("/api/v1/namespaces", {"metadata": {"name": name}}, "cluster")

    def create(self, path: str, document: Document, manager: str) -> Document:
        if path.endswith("/token"):
            return self._token(path.removesuffix("/token"))
        name, inside = document["metadata"]["name"], path.split("/")
        if "namespaces" in inside[:-1]:
            namespace = inside[inside.index("namespaces") + 1]
            if f"/api/v1/namespaces/{namespace}" not in self.objects:
                raise Refused(404, f'namespaces "{namespace}" not found')
            document["metadata"]["namespace"] = namespace
        if f"{path}/{name}" in self.objects:
            raise Refused(409, f'{inside[-1]} "{name}" already exists', reason="AlreadyExists")
        kind = self.kind(path)
        assert kind
        document |= {"apiVersion": kind.version, "kind": kind.name}
        if kind.name == "Namespace":
            document["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
        made = super().create(path, document, manager)
        self._begin(f"{path}/{name}")
        return made

    def _token(self, account: str) -> Document:
        """For an account that is there."""
        self.find(account)
        status = {"token": f"a token of {account.rpartition('/')[2]}"}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "status": status}

    def find(self, path: str) -> Document:
        if (answer := told(path, self.known)) is not None:
            return answer
        if path not in self.objects and self.kind(path.rpartition("/")[0]):
            raise Refused(404, f'{path.split("/")[-2]} "{path.rpartition("/")[2]}" not found')
        return super().find(path)

    def kind(self, path: str) -> Kind | None:
        """That which the list at a path is of."""
        words = path.split("/")
        plain = path if len(words) < 5 or words[-3] != "namespaces" else "/".join([*words[:-3], words[-1]])
        return next((one for one in self.known if plain == f"{one.root}/{one.plural}"), None)

    def patch(self, path: str, body: Document, manager: str, *, strategic: bool) -> Document:
        live = self.find(path)
        now = merged(copy.deepcopy(live), body, strategic=strategic)
        if configured(now) == configured(live):
            return live
        self._store(path, now, {(manager, "Update"): frozenset(leaves(configured(now)))})
        self._begin(path)
        return now

    def lacking(self, deployment: Document) -> list[str]:
        """What its pods wait for in vain."""
        root = f"/api/v1/namespaces/{deployment['metadata']['namespace']}"
        found = []
        for plural, name, key in references(deployment["spec"]["template"]["spec"]):
            one = self.objects.get(f"{root}/{plural}/{name}")
            if one is None or (key and key not in one["data"]):
                found.append(f"{plural}/{name}{f'/{key}' if key else ''}")
        return sorted(set(found))

    def _begin(self, path: str) -> None:
        """A rollout, where a Deployment is another one than before."""
        one = self.objects[path]
        if cluster_wide(path).startswith(f"{DEPLOYMENTS}/"):
            before = one.get("status", {})
            if before.get("observedGeneration") != one["metadata"]["generation"]:
                one["status"] = before | {
                    "observedGeneration": one["metadata"]["generation"],
                    "updatedReplicas": 0,
                    "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}],
                }

    def tick(self, path: str) -> bool:
        """A controller's next step; whether there was one."""
        one = self.objects[path]
        status, wanted = one["status"], one["spec"].get("replicas", 1)
        (condition,) = status["conditions"]
        if condition["status"] == "False" or status["updatedReplicas"] >= wanted:
            return False
        if self.stalls or self.lacking(one):
            condition |= {"status": "False", "reason": "ProgressDeadlineExceeded"}
            self._warn(one)
        else:
            status["updatedReplicas"] += 1
            status["replicas"] = status["availableReplicas"] = self._replace_pod(one)
        self._touch(path)
        return True

    def _warn(self, deployment: Document) -> None:
        """As the kubelet does of a pod that doesn't start."""
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        said = {
            "type": "Warning",
            "reason": "FailedMount",
            "message": f"not found: {', '.join(self.lacking(deployment))}",
            "involvedObject": {"kind": "Pod", "name": f"{name}-x", "namespace": namespace},
        }
        events = f"/api/v1/namespaces/{namespace}/events"
        self.create(events, {"metadata": {"name": f"{name}.{self._version}"}} | said, "kubelet")

    def _replace_pod(self, deployment: Document) -> int:
        """One more as the Deployment says, one less of those before; returns how many there are."""
        name, generation = deployment["metadata"]["name"], deployment["metadata"]["generation"]
        pods = f"/api/v1/namespaces/{deployment['metadata']['namespace']}/pods"
        template = copy.deepcopy(deployment["spec"]["template"])
        template["metadata"]["name"] = f"{name}-{generation}-{deployment['status']['updatedReplicas']}"
        self.create(pods, template, "controller")
        mine = sorted(one for one in self.objects if one.startswith(f"{pods}/{name}-"))
        old = [one for one in mine if not one.startswith(f"{pods}/{name}-{generation}-")]
        for one in old[:1]:
            self.delete(one, {})
        return len(mine) - len(old[:1])


class KubectlAnswers(Answers):
    """As kubectl asks."""

    api: Cluster

    def read(self) -> Document:
        if self.headers.get("Content-Type") == "application/vnd.kubernetes.protobuf":
            return from_protobuf(self.rfile.read(int(self.headers["Content-Length"])))
        return super().read()

    def get(self) -> None:
        where = urlsplit(self.path)
        query = parse_qs(where.query)
        if where.path == "/openapi/v2":
            self._raw("application/com.github.proto-openapi.spec.v2.v1.0+protobuf", NO_OPENAPI_V2)
        elif where.path.endswith("/log"):
            self._log(where.path.removesuffix("/log"))
        elif query.get("watch", ["false"])[0] in ("true", "1"):
            self._watch(where.path, query)
        else:
            self.answer(lambda path, asked, _body: self._found(path, asked))

    def patch(self) -> None:
        kind = self.headers["Content-Type"]

        def patched(path: str, query: dict[str, list[str]], body: Document) -> Document:
            if kind not in (STRATEGIC, MERGE):
                raise Refused(415, f"the body of the request was in an unknown format: {kind}")
            return self.api.patch(path, body, query["fieldManager"][0], strategic=kind == STRATEGIC)

        self.answer(patched)

    def _found(self, path: str, query: dict[str, list[str]]) -> Document:
        found = self.api.find(path)
        if "items" in found:
            (field,), (label,) = query.get("fieldSelector", [""]), query.get("labelSelector", [""])
            name, wanted = field.removeprefix("metadata.name="), dict([label.split("=")] if label else [])
            items = [
                one
                for one in found["items"]
                if name in ("", one["metadata"]["name"])
                and wanted.items() <= one["metadata"].get("labels", {}).items()
            ]
            kind = self.api.kind(path)
            assert kind
            return {
                "kind": f"{kind.name}List", "apiVersion": kind.version, "items": items,
                "metadata": {"resourceVersion": "1"},
            }  # fmt: skip
        return found

    def _watch(self, path: str, query: dict[str, list[str]]) -> None:
        """What is there, then each step of its controller."""
        self.close_connection = True
        items = self._found(path, query)["items"]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if query.get("sendInitialEvents") == ["true"]:
            for one in items:
                self._event("ADDED", one)
            noted = {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}
            plain = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": noted}
            self._event("BOOKMARK", plain)
        for one in items:
            where = f"{path}/{one['metadata']['name']}"
            while self.api.tick(where):
                self._event("MODIFIED", self.api.objects[where])
        select.select([self.connection], [], [], QUIET_S)

    def _log(self, path: str) -> None:
        first = min(one for one in self.api.objects if one.startswith(path.rpartition("/")[0] + "/"))
        self._raw("text/plain", self.api.log.encode() if path == first else b"")

    def _raw(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _event(self, kind: str, document: Document) -> None:
        self.wfile.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")
        self.wfile.flush()


@contextmanager
def cluster(*definitions: Kind, namespaces: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """One that listens while the context lasts. It knows nobody: kubectl sends no token without TLS."""
    api = Cluster(*definitions, namespaces=namespaces)
    with listening(api, KubectlAnswers, ""):
        yield api


def opened(secret: Document) -> dict[str, bytes]:
    """What a Secret holds."""
    return {name: base64.b64decode(held) for name, held in secret["data"].items()}
