"""Asking a Kubernetes API server: every write is a server-side apply, never forced; errors by what they mean.

Nothing is retried here: the engine does that, by its journal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tidewatt_coordinator.levers.driver import Foreign, LeverError, Lost, Probe, Throttled, Unsure
from tidewatt_coordinator.levers.kubernetes.kubeconfig import ACCOUNT, connect
from tidewatt_coordinator.levers.kubernetes.settings import KubernetesLever
from tidewatt_coordinator.outward import MIB, ask

Document = dict[str, Any]
#: Objects in one page of a list, each of which etcd holds to 1.5 MiB; most are a few KiB.
PAGE = 500
MOST_BYTES = 256 * MIB
GONE, CONFLICT, TOO_MANY, SERVER_ERROR = 404, 409, 429, 500


class Refusal(LeverError):
    """The API server said no; nothing was changed."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Kubernetes:
    """One API server, asked under one field manager's name."""

    def __init__(self, client: httpx.Client, manager: str) -> None:
        self._client, self.manager = client, manager

    def find(self, path: str) -> Document | None:
        """One object; None if there is none, or none of its kind."""
        try:
            return self._ask("GET", path)
        except Refusal as error:
            if error.status == GONE:
                return None
            raise

    def items(self, path: str, **query: str) -> Iterator[Document]:
        """Every object of a kind; none where the cluster doesn't have the kind."""
        asked = {"limit": str(PAGE), **query}
        while True:
            page = self.find(f"{path}?{httpx.QueryParams(asked)}")
            if page is None:
                return
            yield from page["items"]
            asked["continue"] = page["metadata"].get("continue", "")
            if not asked["continue"]:
                return

    def apply(self, path: str, body: Document, *, dry_run: bool = False) -> Document:
        """Say what we want of an object's fields; those that we said before and don't now are dropped.

        `metadata.resourceVersion` in the body is a precondition. Foreign where a field is somebody else's.
        """
        query = {"fieldManager": self.manager, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        asked = f"{path}?{httpx.QueryParams(query)}"
        return self._ask("PATCH", asked, body, "application/apply-patch+yaml")  # JSON is YAML

    def delete(self, path: str, live: Document) -> None:
        """Take an object away, if it is still this one."""
        metadata = live["metadata"]
        held = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": held}
        self._ask("DELETE", path, options | {"propagationPolicy": "Background"}, "application/json")

    def _ask(self, method: str, path: str, body: Document | None = None, kind: str = "") -> Document:
        headers = {"Content-Type": kind} if kind else {}
        try:
            answer = ask(self._client, method, path, MOST_BYTES, json=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL) as error:
            raise Throttled(f"nothing was sent: {error or type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise Unsure(f"{method} {path}: {error or type(error).__name__}") from error
        if answer.is_success:
            try:
                found: Document = answer.json()
            except ValueError as error:
                raise Unsure(f"{method} {path}: no JSON in the answer") from error
            return found
        raise _meaning(answer)


@contextmanager
def kubernetes(settings: KubernetesLever, driver: str) -> Iterator[Kubernetes]:
    """A client while the context lasts, under a field manager's name of the driver's own.

    Its own: what one manager doesn't say again it drops, and two drivers may share an object.
    """
    with connect(settings.kubeconfig, settings.context) as client:
        yield Kubernetes(client, f"tidewatt-{driver.replace('_', '-')}")


def reachable(settings: KubernetesLever) -> Probe:
    """Whether somebody said where the cluster is."""
    if settings.kubeconfig or ACCOUNT.exists():
        return Probe("ok")
    return Probe("no", "this runs in no cluster, and kubeconfig names none")


def _meaning(answer: httpx.Response) -> LeverError:
    try:
        told = answer.json()
        causes = [cause.get("reason") for cause in (told.get("details") or {}).get("causes") or []]
        sentence = str(told["message"])
    except (ValueError, KeyError, AttributeError):
        causes, sentence = [], answer.text[:200]
    sentence = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}: {sentence}"
    if answer.status_code == CONFLICT:
        return Foreign(sentence) if "FieldManagerConflict" in causes else Lost(sentence)
    if answer.status_code == TOO_MANY:
        return Throttled(sentence)
    if answer.status_code >= SERVER_ERROR:
        return Unsure(sentence)
    return Refusal(sentence, answer.status_code)
