"""Asking a source over HTTP."""

from collections.abc import Mapping
from pathlib import Path

import httpx

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.outward import ask

TIMEOUT_S = 60.0
#: A day of a large cluster is a few megabytes.
LARGEST_BYTES = 256 * 1024 * 1024


class Door:
    """One source's HTTP interface."""

    def __init__(self, base: str, token_file: str) -> None:
        self.base = base.rstrip("/")
        headers = {}
        if token_file:
            headers["Authorization"] = f"Bearer {Path(token_file).read_text('utf-8').strip()}"
        self._client = httpx.Client(timeout=TIMEOUT_S, headers=headers)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, str]) -> bytes:
        """The answer's body; CostError saying what came instead."""
        try:
            answer = ask(self._client, "GET", self.base + path, LARGEST_BYTES, params=dict(parameters))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise CostError(f"{self.base}: {error or type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            said = answer.content[:200].decode("utf-8", "replace").strip()
            raise CostError(f"{self.base}: answers {answer.status_code} {answer.reason_phrase}: {said}")
        return answer.content
