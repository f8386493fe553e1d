"""Somebody else at an API server, and the file by which clients find one."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

from tests.kubeapi import KubeApi
from tests.kubefields import Document

from tidewatt_coordinator.levers.kubernetes.kubeconfig import connect


class Cluster:
    """Somebody else at an API server, be it the stand-in or a real one."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig
        self._client = connect(kubeconfig, "")
        self._made: list[str] = []

    def create(self, path: str, document: Document, status: Document | None = None) -> None:
        """In the list at `path`."""
        self._ask("POST", f"{path}?fieldManager=kubectl", copy.deepcopy(document))
        self._made.append(f"{path}/{document['metadata']['name']}")
        if status:
            self.status(self._made[-1], status)

    def update(self, path: str, change: Callable[[Document], object]) -> None:
        """Read, change, replace."""
        now = self.find(path)
        change(now)
        self._ask("PUT", f"{path}?fieldManager=kubectl", now)

    def status(self, path: str, status: Document) -> None:
        """As a controller says it."""
        now = self.find(path)
        self._ask("PUT", f"{path}/status?fieldManager=controller", now | {"status": status})

    def find(self, path: str) -> Document:
        return self._ask("GET", path)

    def names(self, path: str) -> list[str]:
        return [one["metadata"]["name"] for one in self._ask("GET", path)["items"]]

    def close(self) -> None:
        for path in self._made:
            self._client.request("DELETE", path)
        self._client.close()

    def _ask(self, method: str, path: str, body: Document | None = None) -> Document:
        answer = self._client.request(method, path, json=body)
        assert answer.is_success, answer.text
        found: Document = answer.json()
        return found


def kubeconfig(folder: Path, api: KubeApi, token: str) -> str:
    """A file by which clients find it."""
    path = folder / "kubeconfig"
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(json.dumps(document))
    return str(path)
