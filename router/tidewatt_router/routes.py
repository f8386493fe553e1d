"""The routes of a proxy and the backends behind them, as they are configured. Pure."""

from collections.abc import Sequence

import msgspec


class Backend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a backend of the dispatch table is in the proxy."""

    name: str
    """As the table names it: a device or a pool."""
    address: str = ""
    """nginx, Envoy: host:port (Envoy: an IP address)."""
    server: str = ""
    """HAProxy: the server's name; empty means the backend's own. nginx over pools: the upstream's."""
    service: str = ""
    """Gateway API: the Service's name; empty means the backend's own."""

    @property
    def server_name(self) -> str:
        """The server's name in the proxy."""
        return self.server or self.name

    @property
    def service_name(self) -> str:
        """The Service's name."""
        return self.service or self.name


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What in the proxy shares its requests out."""

    name: str
    """Of the nginx upstream, the HAProxy backend, the Envoy cluster, the HTTPRoute."""
    request_class: str = ""
    """The table's class whose weights hold here; empty, or unknown to the table: all requests together."""
    backends: list[str] = msgspec.field(default_factory=list)
    """By name; empty means all."""
    shed: str = ""
    """The one of them that takes what the table sheds: a page that says "later". Empty means that Envoy
    refuses that share; the other proxies can't refuse a part, and share it out with the rest."""
    pools: bool = False
    """nginx: split over upstreams that stand in your configuration, not over servers."""


def backends_of(route: Route, backends: Sequence[Backend]) -> list[str]:
    """The names of a route's backends, of all of them."""
    return route.backends or [backend.name for backend in backends]
