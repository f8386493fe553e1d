"""The running coordinator's REST API, as a command asks it."""

import os
import ssl
from pathlib import Path

import httpx
import msgspec

PATIENCE_S = 10.0
#: Names a file with an API key; a key on the command line would stand in everybody's list of processes.
KEY_FILE = "TIDEWATT_KEY_FILE"


class DoorError(RuntimeError):
    """The coordinator can't be asked, or refuses; one sentence."""


class Absent(DoorError):
    """Nobody answers at that address."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device as /v1/fleet tells of it; what isn't known is None."""

    device: str
    status: str
    board: str | None = None
    labels: dict[str, str] = {}
    point: str | None = None
    watts: float | None = None
    requests_rps: float | None = None
    p95_ms: float | None = None
    temperature_c: float | None = None
    reason: str | None = None
    policy_status: str | None = None
    policy_revision: int | None = None
    violating_minutes: float | None = None
    weight: float | None = None
    control: str | None = None
    refused: str | None = None
    sleeps: str | None = None

    @property
    def site(self) -> str:
        """Where it is, by its label."""
        return self.labels.get("site", "")


class FleetNow(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet at a moment."""

    fleet: str
    now_ms: int
    devices: list[Device]
    online: int = 0
    watts: float | None = None
    requests_rps: float | None = None


class Door:
    """One coordinator. `url` ends without a slash; `key_file` is empty where no key is needed."""

    def __init__(self, url: str, key_file: str = "", ca_file: str = "") -> None:
        """`ca_file`: whose signature its certificate bears, where the system's CAs don't know it. OSError."""
        self.url = url.rstrip("/")
        path = key_file or os.environ.get(KEY_FILE, "")
        self._key = Path(path).read_text("utf-8").strip() if path else ""
        trusted = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._client = httpx.Client(timeout=PATIENCE_S, verify=trusted)

    def fleet(self) -> FleetNow:
        """Everything about it, in one request. DoorError."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            answer = self._client.get(f"{self.url}/v1/fleet", headers=headers)
        except httpx.ConnectError as error:
            if "certificate" in str(error).lower():
                raise DoorError(f"{self.url}: {error}; name a private CA with --ca") from error
            raise Absent(f"no coordinator answers at {self.url}: {error or type(error).__name__}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Absent(f"no coordinator answers at {self.url}: {error or type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise DoorError(f"{self.url}: {error or type(error).__name__}") from error
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise DoorError(
                f"{self.url} wants a key that may look: name its file with --key-file or {KEY_FILE}"
            )
        if answer.status_code != httpx.codes.OK:
            raise DoorError(f"{self.url} answers {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=FleetNow)
        except msgspec.DecodeError as error:
            raise DoorError(f"{self.url} is no Tidewatt coordinator: {error}") from error

    def close(self) -> None:
        """Hang up."""
        self._client.close()
