"""Envoy: one file of endpoints (EDS) for each cluster, moved into place; Envoy watches the folder for that.

A weight is at least 1 there, so what gets nothing is left out: what is open is finished. (DRAINING would
count as unhealthy, and with half of a cluster unhealthy Envoy panics and uses all of it.) What a table sheds
Envoy drops itself.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidewatt_link.durable import replace_file
from tidewatt_router import rounding
from tidewatt_router.config import Config, Envoy, host_port
from tidewatt_router.proxies import Achieved, CannotApply
from tidewatt_router.splits import Split, Wanted

#: Envoy takes sums up to 2^32 - 1; this is what its drops are counted in, too.
TOTAL = 1_000_000
READABLE = 0o644
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


class EnvoyFiles:
    """The folder."""

    name = "envoy"
    pause_s = 0.0

    def __init__(self, config: Config, envoy: Envoy) -> None:
        self._folder = Path(envoy.folder)
        self._addresses = {
            backend.name: host_port(backend.address, f"backend {backend.name!r}: address")
            for backend in config.backend
        }

    def weights(self, split: Split) -> Mapping[str, int]:
        """Whole numbers with a sum of at most a million."""
        return rounding.of_total(split.parts, TOTAL)

    def achieved(self, split: Split) -> Achieved:
        """What the weights say, and the drops."""
        weights = self.weights(split)
        shed = _dropped(split) / TOTAL if any(weights.values()) else 1.0
        return Achieved(rounding.shares(weights), shed)

    def render(self, wanted: Wanted) -> str:
        """The files, one after the other."""
        return "".join(
            f"# {self._file(split)}\n{self._content(split, wanted.epoch).decode()}\n"
            for split in wanted.splits
        )

    def apply(self, wanted: Wanted) -> None:
        """Move the files into place; those that are right already stay, so that Envoy isn't disturbed."""
        for split in wanted.splits:
            content, file = self._content(split, wanted.epoch), self._file(split)
            try:
                if _said(_read(file)) != _said(content):
                    replace_file(file, content, READABLE)
            except OSError as error:
                raise CannotApply(f"envoy.folder, {file}: {error.strerror}") from error

    def stands(self, wanted: Wanted) -> bool:
        """Whether the files say it: Envoy reads them at its start, and whenever one is moved into place."""
        return all(
            _said(_read(self._file(split))) == _said(self._content(split, wanted.epoch))
            for split in wanted.splits
        )

    def check(self) -> None:
        """Whether the folder is there, and each address is one that Envoy takes here."""
        if not self._folder.is_dir():
            raise CannotApply(f"envoy.folder {self._folder}: there is no such folder")
        for name, (host, _) in self._addresses.items():
            try:
                ipaddress.ip_address(host)
            except ValueError as error:
                raise CannotApply(f"backend {name!r}: Envoy wants an IP address, not {host!r}") from error

    def _file(self, split: Split) -> Path:
        return self._folder / f"{split.route}.json"

    def _content(self, split: Split, epoch: int) -> bytes:
        endpoints = [self._endpoint(name, weight) for name, weight in self.weights(split).items() if weight]
        assignment: dict[str, Any] = {
            "@type": ASSIGNMENT,
            "cluster_name": split.route,
            "endpoints": [{"lb_endpoints": endpoints}] if endpoints else [],
        }
        if dropped := _dropped(split):
            drop = {"numerator": dropped, "denominator": "MILLION"}
            assignment["policy"] = {"drop_overloads": [{"category": "tidewatt", "drop_percentage": drop}]}
        return msgspec.json.encode({"version_info": str(epoch), "resources": [assignment]})

    def _endpoint(self, name: str, weight: int) -> dict[str, Any]:
        host, port = self._addresses[name]
        address = {"socket_address": {"address": host, "port_value": port}}
        return {"endpoint": {"address": address}, "load_balancing_weight": weight}


def _dropped(split: Split) -> int:
    """Millionths of the requests that are shed."""
    whole = sum(split.parts.values()) + split.shed
    return split.shed * TOTAL // whole if whole else 0


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotApply(f"envoy.folder, {file}: {error.strerror}") from error


def _said(content: bytes | None) -> object:
    """What the file means, whatever epoch it is from."""
    try:
        document = msgspec.json.decode(content or b"{}")
        return document.get("resources")
    except (msgspec.DecodeError, AttributeError):
        return None
