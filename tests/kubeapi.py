"""A Kubernetes API server over real HTTP: server-side apply with managedFields and conflicts,
resourceVersions, definitions that validate, and failures as told. Not good for anything else.
"""

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import jsonschema
from tests.kubefields import Document, Fields, at, cluster_wide, configured, drop, leaves, put, tree

Fault = Literal["lost", "throttled", "timeout_before", "timeout_after", "broken", ""]
BUILT_IN = (
    "/api/v1/nodes", "/api/v1/pods", "/api/v1/resourcequotas", "/api/v1/limitranges",
    "/apis/apps/v1/deployments", "/apis/autoscaling/v2/horizontalpodautoscalers",
)  # fmt: skip
CRDS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "crds").glob("*.json"))]


def closed(schema: Any) -> Any:
    """The same that knows no other fields than its own: what fieldValidation=Strict refuses."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        found["properties"] = {name: closed(one) for name, one in schema["properties"].items()}
        found["additionalProperties"] = False
    return found


SCHEMAS = {
    f"/apis/{one['group']}/{one['version']}/{one['plural']}": jsonschema.Draft7Validator(closed(one["spec"]))
    for one in CRDS
}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(
        self, status: int, message: str, causes: list[Document] | None = None, *, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": reason or {404: "NotFound", 409: "Conflict"}.get(status, ""),
            "code": status,
            "message": message,
            "details": {"causes": causes or []},
        }


class KubeApi:
    """Objects by path, with who manages what."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.managers: dict[str, dict[tuple[str, str], Fields]] = {}
        self.kinds = {*SCHEMAS, *BUILT_IN}
        """Paths of lists that are there though empty."""
        self.faults: list[Fault] = []
        """One for each write, used up from the front; of an Apply that is no dry run."""
        self.writes = 0
        self.url = ""
        self._version = 0

    def create(self, path: str, document: Document, manager: str) -> Document:
        """As a client does that doesn't know server-side apply."""
        path = f"{path}/{document['metadata']['name']}"
        self._validate(path, document)
        owned = configured(document)
        self._store(path, document, {(manager, "Update"): frozenset(leaves(owned) if owned else ())})
        return document

    def replace(self, path: str, now: Document, manager: str) -> Document:
        """What changed becomes its manager's."""
        before = self.objects[path.removesuffix("/status")]
        if now["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise Refused(409, "the object has been modified")
        if path.endswith("/status"):
            before["status"] = now["status"]
            self._touch(path.removesuffix("/status"))
            return before
        paths = frozenset(leaves(configured(now)))
        changed = frozenset(one for one in paths if at(before, one) != at(now, one))
        managers = {who: (owned & paths) - changed for who, owned in self.managers[path].items()}
        mine = (manager, "Update")
        managers[mine] = managers.get(mine, frozenset()) | changed
        self._store(path, now, managers)
        return now

    def find(self, path: str) -> Document:
        if path in self.objects:
            return self.objects[path]
        below = [one for name, one in sorted(self.objects.items()) if self._in(path, name)]
        kind = cluster_wide(path)
        if kind in self.kinds or any(one.startswith(f"{kind}/") for one in self.kinds):
            return {"kind": "List", "items": below, "metadata": {}}
        raise Refused(404, f"{path} not found")

    def apply(self, path: str, body: Document, manager: str, *, force: bool, dry_run: bool) -> Document:
        live, who = self.objects.get(path), (manager, "Apply")
        version = body["metadata"].pop("resourceVersion", None)
        if version is not None and (live is None or live["metadata"]["resourceVersion"] != version):
            raise Refused(409, "the object has been modified")
        managers = dict(self.managers.get(path, {}))
        wanted = configured(body)
        paths = frozenset(leaves(wanted)) if wanted else frozenset()
        if live:
            self._conflicts(live, wanted, paths, managers, who, force=force)
        merged = (
            copy.deepcopy(live) if live else {key: body[key] for key in ("apiVersion", "kind", "metadata")}
        )
        others = frozenset[tuple[str, ...]]().union(*(owned for one, owned in managers.items() if one != who))
        gone = managers.get(who, frozenset()) - paths - others
        for one in sorted(gone):
            if not any(one[:length] in gone for length in range(1, len(one))):
                drop(merged, one)
        for one in sorted(paths):
            put(merged, one, at(wanted, one))
        self._validate(path, merged)
        if dry_run:
            return merged
        same = live is not None and configured(live) == configured(merged) and managers.get(who) == paths
        managers[who] = paths
        if force:
            managers = {one: owned - paths if one != who else owned for one, owned in managers.items()}
        if not same:
            self._store(path, merged, {one: owned for one, owned in managers.items() if owned})
        return self.objects[path]

    def delete(self, path: str, preconditions: Mapping[str, str]) -> Document:
        live = self.find(path)
        if any(live["metadata"][key] != value for key, value in preconditions.items()):
            raise Refused(409, "the precondition doesn't hold")
        del self.objects[path], self.managers[path]
        self.writes += 1
        return {"kind": "Status", "status": "Success"}

    def _conflicts(
        self,
        live: Document,
        wanted: Document,
        paths: Fields,
        managers: Any,
        who: tuple[str, str],
        *,
        force: bool,
    ) -> None:
        found = [
            (manager, one)
            for (manager, kind), owned in managers.items()
            if (manager, kind) != who
            for one in sorted(owned & paths)
            if not one[-1].startswith("k:") and at(live, one) != at(wanted, one)
        ]
        if found and not force:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{manager}"',
                    "field": ".".join(one),
                }
                for manager, one in found
            ]
            said = ", ".join(f'conflict with "{manager}": {".".join(one)}' for manager, one in found)
            raise Refused(409, f"Apply failed with {len(found)} conflicts: {said}", causes)

    def _validate(self, path: str, document: Document) -> None:
        schema = SCHEMAS.get(cluster_wide(path).rpartition("/")[0])
        if schema is None:
            return
        errors = [f"{error.json_path}: {error.message}" for error in schema.iter_errors(document["spec"])]
        if errors:
            raise Refused(422, f"{document['kind']} is invalid: {'; '.join(errors)}")

    def _store(self, path: str, document: Document, managers: dict[tuple[str, str], Fields]) -> None:
        old = self.objects.get(path)
        metadata = document.setdefault("metadata", {})
        metadata.setdefault("uid", f"uid-{self._version}")
        changed = old is None or old.get("spec") != document.get("spec")
        metadata["generation"] = metadata.get("generation", 0) + changed
        metadata["managedFields"] = [
            {"manager": manager, "operation": kind, "fieldsType": "FieldsV1", "fieldsV1": tree(owned)}
            for (manager, kind), owned in managers.items()
        ]
        self.objects[path], self.managers[path] = document, managers
        self.writes += 1
        self._touch(path)

    def _touch(self, path: str) -> None:
        self._version += 1
        self.objects[path]["metadata"]["resourceVersion"] = str(self._version)

    def _in(self, listed: str, path: str) -> bool:
        inside = path.rpartition("/")[0]
        return listed in (inside, cluster_wide(inside))


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    api: KubeApi
    token: str
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.answer(lambda path, query, body: self.api.create(path, body, query.get("fieldManager", [""])[0]))

    def do_PUT(self) -> None:
        self.answer(lambda path, query, body: self.api.replace(path, body, query["fieldManager"][0]))

    def do_PATCH(self) -> None:
        self.patch()

    def do_DELETE(self) -> None:
        self.answer(lambda path, _query, body: self.api.delete(path, body.get("preconditions") or {}))

    def get(self) -> None:
        """Say what is there."""
        self.answer(lambda path, _query, _body: self.api.find(path))

    def patch(self) -> None:
        """Apply, and say what is there then."""
        self.answer(self._apply)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _apply(self, path: str, query: dict[str, list[str]], body: Document) -> Document:
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        assert query["fieldValidation"] == ["Strict"]
        dry_run, force = "dryRun" in query, query.get("force") == ["true"]
        fault = self.api.faults.pop(0) if self.api.faults and not dry_run else ""
        if fault == "lost":
            raise Refused(409, "the object has been modified")
        if fault == "throttled":
            raise Refused(429, "too many requests")
        if fault == "broken":
            raise Refused(500, "etcd leader changed")
        if fault == "timeout_before":
            raise ConnectionAbortedError
        found = self.api.apply(path, body, query["fieldManager"][0], force=force, dry_run=dry_run)
        if fault == "timeout_after":
            raise ConnectionAbortedError
        return found

    def read(self) -> Document:
        """What was sent."""
        length = int(self.headers.get("Content-Length") or 0)
        found: Document = json.loads(self.rfile.read(length) or b"{}")
        return found

    def answer(self, what: Callable[[str, dict[str, list[str]], Document], Document]) -> None:
        """Do it, with the path, the query and the body that were sent."""
        where = urlsplit(self.path)
        body = self.read()
        try:
            if self.token and self.headers["Authorization"] != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized")  # noqa: TRY301 - as every other
            there = where.path in self.api.objects
            document = what(where.path, parse_qs(where.query), body)
            status = 200 if there or self.command not in ("POST", "PATCH") else 201
        except Refused as error:
            status, document = error.status, error.body
        except ConnectionAbortedError:
            self.close_connection = True
            return
        self.say(status, document)

    def say(self, status: int, document: Document) -> None:
        """Answer so."""
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def kube_api(token: str) -> Iterator[KubeApi]:
    """One that listens while the context lasts."""
    api = KubeApi()
    with listening(api, Answers, token):
        yield api


@contextmanager
def listening(api: KubeApi, kind: type[Answers], token: str) -> Iterator[None]:
    """Connections to it are answered so, while the context lasts."""
    answers = type("Answers", (kind,), {"api": api, "token": token})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
