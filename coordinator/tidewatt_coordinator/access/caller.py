"""Where a request comes from, and by which door: as the socket says, or a proxy that is trusted. Pure."""

import ipaddress
from collections.abc import Sequence
from typing import Any

import msgspec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Caller(msgspec.Struct, frozen=True):
    """The far end of a request."""

    address: str
    """The browser's own, behind however many trusted proxies; empty if unknown."""
    secure: bool
    """Whether it came by TLS."""
    host: str
    """The host, with its port, by which it was asked."""

    @property
    def origin(self) -> str:
        """Our own origin, as that browser sees it."""
        return f"{'https' if self.secure else 'http'}://{self.host}".lower()


def networks(written: Sequence[str]) -> list[Network]:
    """Networks taken from the configuration."""
    return [ipaddress.ip_network(one, strict=False) for one in written]


def caller_of(scope: dict[str, Any], trusted: Sequence[Network]) -> Caller:
    """The caller of an ASGI request. What proxies that aren't trusted say is not heard."""
    client = scope.get("client")
    peer = client[0] if client else ""
    secure, host = scope.get("scheme") == "https", _last(scope, b"host")
    if not _is_of(peer, trusted):
        return Caller(peer, secure, host)
    address = peer
    # From the right: each proxy adds whom it heard; the first that isn't ours is the caller.
    for hop in reversed([one.strip() for one in _all(scope, b"x-forwarded-for").split(",")]):
        if not hop:
            continue
        address = _portless(hop)
        if not _is_of(address, trusted):
            break
    proto = _last(scope, b"x-forwarded-proto")
    return Caller(
        address, proto.lower() == "https" if proto else secure, _last(scope, b"x-forwarded-host") or host
    )


def _portless(hop: str) -> str:
    """An address as some proxies write it, 1.1.1.1:80, [2001:db8::1]:80 or "[2001:db8::1]", without all that.

    The port changes with every connection: with it each would be a caller of its own.
    """
    hop = hop.strip('"')
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, port = hop.rpartition(":")
    return host if colon and port.isdigit() and ":" not in host else hop


def _is_of(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in trusted if network.version == found.version)


def _all(scope: dict[str, Any], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _last(scope: dict[str, Any], name: bytes) -> str:
    return _all(scope, name).rpartition(",")[2].strip()
