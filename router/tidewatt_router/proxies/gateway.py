"""Kubernetes Gateway API: the weights of an HTTPRoute's backendRefs, by server-side apply in our own name.

The rules of an HTTPRoute are one atomic list, so whoever sets a weight owns all of it: the router reads the
route, changes nothing but the weights of the Services that it knows, and applies the rules as they then are,
never by force. Who else manages them (kubectl, Argo CD, Flux) must let go of `spec.rules` first; until then
the API server names the owner in its refusal, and nothing is changed. resourceVersion guards the time between
reading and writing.
"""

import http.client
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidewatt_router import rounding
from tidewatt_router.config import Config, Gateway
from tidewatt_router.proxies import Achieved, CannotApply
from tidewatt_router.splits import Split, Wanted

TOTAL = 1_000_000
VERSION = "gateway.networking.k8s.io/v1"
APPLY = "application/apply-patch+yaml"
BAD = 400
Document = dict[str, Any]


class GatewayRoutes:
    """The HTTPRoutes of one namespace."""

    name = "gateway"
    pause_s = 1.0

    def __init__(self, config: Config, gateway: Gateway) -> None:
        self._gateway, self._timeout_s = gateway, config.router.command_s
        self._services = {backend.name: backend.service_name for backend in config.backend}
        self._routes = [route.name for route in config.route]

    def weights(self, split: Split) -> Mapping[str, int]:
        """Whole numbers with a sum of at most a million."""
        return rounding.of_total(split.parts, TOTAL)

    def achieved(self, split: Split) -> Achieved:
        """What the weights say; a rule without any weight answers 500."""
        weights = self.weights(split)
        return Achieved(rounding.shares(weights), 0.0 if any(weights.values()) else 1.0)

    def render(self, wanted: Wanted) -> str:
        """The weights by Service, a JSON document for each route."""
        return "".join(
            msgspec.json.encode({"route": split.route, "weights": self._by_service(split)}).decode() + "\n"
            for split in wanted.splits
        )

    def apply(self, wanted: Wanted) -> None:
        """Apply each route that isn't right already."""
        for split in wanted.splits:
            route = self._get(split.route)
            refs = list(self._references(route, split))
            if all(ref.get("weight", 1) == weight for ref, weight in refs):
                continue
            for ref, weight in refs:
                ref["weight"] = weight
            self._patch(split.route, route)

    def stands(self, wanted: Wanted) -> bool:
        """Whether every backendRef has its weight."""
        return all(
            ref.get("weight", 1) == weight
            for split in wanted.splits
            for ref, weight in self._references(self._get(split.route), split)
        )

    def check(self) -> None:
        """Whether the API server answers and has our routes."""
        for route in self._routes:
            self._get(route)

    def _by_service(self, split: Split) -> dict[str, int]:
        return {self._services[name]: weight for name, weight in self.weights(split).items()}

    def _references(self, route: Document, split: Split) -> Iterator[tuple[Document, int]]:
        """The backendRefs of our Services, in whichever rule; CannotApply where one is in none."""
        weights = self._by_service(split)
        missing = set(weights)
        for rule in route.get("spec", {}).get("rules", []):
            for ref in rule.get("backendRefs", []):
                if ref.get("name") in weights:
                    missing.discard(ref["name"])
                    yield ref, weights[ref["name"]]
        if missing:
            raise CannotApply(f"HTTPRoute {split.route} has no backendRef {', '.join(sorted(missing))}")

    def _get(self, name: str) -> Document:
        return self._ask("GET", name)

    def _patch(self, name: str, route: Document) -> None:
        metadata = {"name": name, "namespace": self._gateway.namespace}
        if version := route.get("metadata", {}).get("resourceVersion"):
            metadata["resourceVersion"] = version
        body = {
            "apiVersion": VERSION,
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {"rules": route["spec"]["rules"]},
        }
        manager = urllib.parse.quote(self._gateway.field_manager)
        self._ask("PATCH", f"{name}?fieldManager={manager}", msgspec.json.encode(body))

    def _ask(self, method: str, rest: str, body: bytes | None = None) -> Document:
        what = f"HTTPRoute {rest.partition('?')[0]}"
        path = f"/apis/{VERSION}/namespaces/{self._gateway.namespace}/httproutes/{rest}"
        try:
            headers = {"Accept": "application/json", **self._token()}
            connection = self._connection()
            try:
                if body is not None:
                    headers["Content-Type"] = APPLY
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CannotApply(f"gateway.server {self._gateway.server}: {why}") from error
        document = _document(content)
        if answer.status >= BAD:
            raise CannotApply(f"{what}: {answer.status} {document.get('message', answer.reason)}")
        return document

    def _token(self) -> dict[str, str]:
        if not self._gateway.token_file:
            return {}
        return {"Authorization": f"Bearer {Path(self._gateway.token_file).read_text('utf-8').strip()}"}

    def _connection(self) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(self._gateway.server)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self._timeout_s)
        context = ssl.create_default_context(cafile=self._gateway.ca or None)
        return http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=self._timeout_s, context=context
        )


def _document(content: bytes) -> Document:
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
