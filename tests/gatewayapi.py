"""What the router needs of a Kubernetes API server: HTTPRoutes, versions, managers of a list."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kuberights import Right, rights_of

Document = dict[str, Any]
PREFIX = "/apis/gateway.networking.k8s.io/v1/namespaces/web/httproutes/"


class ApiServer:
    """Holds routes by name, and who manages `spec.rules` of each."""

    def __init__(self) -> None:
        self.routes: dict[str, Document] = {}
        self.managers: dict[str, str] = {}
        self.patches: list[tuple[str, Document]] = []
        self.asked: set[Right] = set()
        """Everything that was ever asked of it, as the rights that it takes."""
        self.url = ""
        self.meddles = False
        """Whether somebody writes between our reading and our writing."""

    def put(self, name: str, services: list[str], manager: str) -> None:
        refs = [{"name": service, "port": 80, "filters": [{"type": "x"}]} for service in services]
        self.routes[name] = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": "web", "resourceVersion": "1"},
            "spec": {
                "hostnames": ["x.example"],
                "rules": [{"matches": [{"path": {"value": "/"}}], "backendRefs": refs}],
            },
        }
        self.managers[name] = manager

    def weights(self, name: str) -> dict[str, int]:
        return {
            ref["name"]: ref.get("weight", 1)
            for rule in self.routes[name]["spec"]["rules"]
            for ref in rule["backendRefs"]
        }

    def get(self, name: str) -> tuple[int, Document]:
        if name not in self.routes:
            return 404, {"message": f'httproutes "{name}" not found'}
        answer: Document = json.loads(json.dumps(self.routes[name]))
        if self.meddles:
            self._touch(name)
        return 200, answer

    def apply(self, name: str, manager: str, body: Document) -> tuple[int, Document]:
        held = self.routes[name]
        if body["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified; please apply your changes to the latest"}
        if self.managers[name] != manager and body["spec"]["rules"] != held["spec"]["rules"]:
            text = f'Apply failed with 1 conflict: conflict with "{self.managers[name]}": .spec.rules'
            return 409, {"message": text}
        held["spec"]["rules"] = body["spec"]["rules"]
        self._touch(name)
        self.patches.append((name, body))
        return 200, held

    def _touch(self, name: str) -> None:
        metadata = self.routes[name]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


@contextmanager
def api_server(token: str) -> Iterator[ApiServer]:
    server = ApiServer()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*(self._refusal() or server.get(self._name())))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            query = parse_qs(urlsplit(self.path).query)
            assert self.headers["Content-Type"] == "application/apply-patch+yaml"
            assert "force" not in query
            self._answer(*(self._refusal() or server.apply(self._name(), query["fieldManager"][0], body)))

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def _name(self) -> str:
            path = urlsplit(self.path).path
            assert path.startswith(PREFIX)
            return path.removeprefix(PREFIX)

        def _refusal(self) -> tuple[int, Document] | None:
            return (
                None
                if self.headers["Authorization"] == f"Bearer {token}"
                else (401, {"message": "Unauthorized"})
            )

        def _answer(self, status: int, document: Document) -> None:
            server.asked |= {*rights_of(self.command, urlsplit(self.path).path, status)}
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
