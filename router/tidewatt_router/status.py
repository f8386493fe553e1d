"""What the running router does, for a person: read from its own metrics page."""

import http.client

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tidewatt_router.config import host_port

TIMEOUT_S = 5.0


class RouteStatus(msgspec.Struct, kw_only=True):
    """One route."""

    source: str = ""
    """table, safe or equal."""
    wanted: dict[str, float] = {}
    achieved: dict[str, dict[str, float]] = {}
    """By proxy and backend."""


class Status(msgspec.Struct, kw_only=True):
    """What there is to say; None where it isn't known."""

    connected: bool | None = None
    epoch: int | None = None
    expires_s: float | None = None
    routes: dict[str, RouteStatus] = {}
    in_step: dict[str, bool] = {}
    """Whether each proxy does what is wanted,"""
    applied: dict[str, int] = {}
    """and the epoch of the table that it was last seen to follow."""
    refusals: dict[str, int] = {}

    @property
    def well(self) -> bool:
        """Whether every proxy follows a table in force; where there is none, or no route, nothing does."""
        if not self.in_step or not self.routes:
            return False
        return all(self.in_step.values()) and all(one.source == "table" for one in self.routes.values())


class RouterSilentError(OSError):
    """The router's page doesn't answer; the sentence says where it was looked for."""


def fetch(listen: str) -> str:
    """The router's metrics page. Raises RouterSilentError."""
    host, port = host_port(listen, "metrics.listen")
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RouterSilentError(
            f"no router answers at {listen}: {why}; `systemctl status tidewatt-router` says more"
        ) from error
    finally:
        connection.close()


def summarise(page: str) -> Status:
    """What a metrics page says. ValueError if it is none."""
    found = Status()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            _note(found, sample.name.removeprefix("tidewatt_router_"), sample.labels, sample.value)
    return found


def _note(found: Status, name: str, labels: dict[str, str], value: float) -> None:
    route = found.routes.setdefault(labels["route"], RouteStatus()) if "route" in labels else RouteStatus()
    match name:
        case "connected":
            found.connected = bool(value)
        case "table_epoch":
            found.epoch = int(value)
        case "table_expires_seconds":
            found.expires_s = value
        case "refusals_total":
            found.refusals[labels["code"]] = int(value)
        case "in_step":
            found.in_step[labels["proxy"]] = bool(value)
        case "applied_epoch":
            found.applied[labels["proxy"]] = int(value)
        case "on_safe_table":
            route.source = labels["source"]
        case "wanted_share_ratio":
            route.wanted[labels["backend"]] = value
        case "achieved_share_ratio":
            route.achieved.setdefault(labels["proxy"], {})[labels["backend"]] = value


def sentences(found: Status) -> list[str]:
    """The same in lines."""
    broker = {None: "no broker is configured", True: "connected", False: "not connected"}[found.connected]
    lines = [f"broker: {broker}", f"table: {_table(found)}"]
    lines += [
        f"{proxy}: {'does as wanted' if well else 'does not do as wanted; see the log'}"
        for proxy, well in found.in_step.items()
    ]
    for name, route in found.routes.items():
        lines.append(f"{name}: from {_SOURCES.get(route.source, 'nothing yet')}")
        for backend, share in route.wanted.items():
            got = ", ".join(f"{proxy} {by[backend]:.2%}" for proxy, by in route.achieved.items())
            lines.append(f"    {backend:24} {share:8.2%}  {f'({got})' if got else ''}".rstrip())
    if found.refusals:
        told = ", ".join(f"{code} {count}" for code, count in found.refusals.items())
        lines.append(f"refused tables: {told}")
    return lines


_SOURCES = {"table": "the table", "safe": "the table's safe half", "equal": "no table: equal shares"}


def _table(found: Status) -> str:
    if found.epoch is None or found.expires_s is None:
        return "none was ever taken"
    if found.expires_s < 0.0:
        return f"epoch {found.epoch}, expired {-found.expires_s:.0f} s ago"
    return f"epoch {found.epoch}, good for {found.expires_s:.0f} s"
