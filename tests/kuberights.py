"""What drivers ask of a Kubernetes API server, as rights: held against what each driver says that it needs.

While TIDEWATT_KUBE_CALLS_FILE names a file, calls are written there instead; of it, kuberights.json is made
by
python -m tests.kuberights FILE
"""

import inspect
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
from tests.rights import Unlisted, asking

Scope = Literal["cluster", "namespace"]
"""Whether it must be granted in the whole cluster, or in the namespaces of the workloads only."""
Right = tuple[Scope, str, str]
"""Scope, verb, and GROUP/RESOURCE[/SUBRESOURCE]; the core group has no name and no slash."""

SEEN = Path(__file__).parent / "kuberights.json"
CLIENT = "tidewatt_coordinator.levers.kubernetes.client"
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def rights_of(method: str, path: str, status: int) -> Iterator[Right]:
    """The rights that a request takes, as the API server asks for them; none for discovery: all have that.

    Who applies what isn't there yet needs `create` beside `patch`: the server answers 201 then.
    """
    words = path.strip("/").split("/")
    group, rest = ("", words[2:]) if words[0] == "api" else (words[1], words[3:])
    if not rest:
        return
    scope: Scope = "cluster"
    if rest[0] == "namespaces" and len(rest) > 2:
        scope, rest = "namespace", rest[2:]
    kind = "/".join(filter(None, [group, rest[0], *rest[2:]]))
    verb = VERBS[method]
    if len(rest) == 1 and verb in ("get", "delete"):
        verb = {"get": "list", "delete": "deletecollection"}[verb]
    yield scope, verb, kind
    if method == "PATCH" and status == httpx.codes.CREATED:
        yield scope, "create", kind


def listed(driver: Any) -> set[tuple[str, str]]:
    """Verb and kind of everything that a driver says that it needs."""
    return {
        (verb, kind)
        for one in getattr(driver, "calls", ())
        for verbs, _, kind in [one.partition(" ")]
        for verb in verbs.split(",")
    }


@contextmanager
def held_against_lists() -> Iterator[None]:
    """Every request that a driver makes of an API server is in its list."""
    send = httpx.Client.send

    def noted(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        answer = send(client, request, **options)
        driver = asking() if _by_our_client() else None
        for right in rights_of(request.method, request.url.path, answer.status_code) if driver else ():
            _hold(driver, right)
        return answer

    httpx.Client.send = noted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        httpx.Client.send = send  # type: ignore[method-assign]


def _hold(driver: Any, right: Right) -> None:
    if file := os.environ.get("TIDEWATT_KUBE_CALLS_FILE", ""):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps([driver.name, *right]) + "\n")
        return
    _, verb, kind = right
    if (verb, kind) not in listed(driver):
        raise Unlisted(f"{type(driver).__name__}.calls lacks {verb} {kind}")
    if right not in seen().get(driver.name, set()):
        raise Unlisted(
            f"kuberights.json lacks {' '.join(right)} of {driver.name}: what grants rights is made of it"
        )


def _by_our_client() -> bool:
    """Whether it is the drivers' client that sends: drivers ask Prometheus, too."""
    frame = inspect.currentframe()
    while frame:
        if frame.f_globals.get("__name__") == CLIENT:
            return True
        frame = frame.f_back
    return False


def seen() -> dict[str, set[Right]]:
    """What tests saw drivers ask for, by driver."""
    told = json.loads(SEEN.read_text("utf-8"))
    return {
        driver: {
            (scope, verb, kind) for scope, kinds in scopes.items() for kind in kinds for verb in kinds[kind]
        }
        for driver, scopes in told.items()
    }


def main(file: str) -> None:
    """Make kuberights.json of what was written down."""
    told: dict[str, dict[str, dict[str, list[str]]]] = {}
    for line in sorted(set(Path(file).read_text(encoding="utf-8").splitlines())):
        driver, scope, verb, kind = json.loads(line)
        told.setdefault(driver, {}).setdefault(scope, {}).setdefault(kind, []).append(verb)
    SEEN.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
