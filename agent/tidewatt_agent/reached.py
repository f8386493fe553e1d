"""By which address others reach this agent's Prometheus page. Pure."""

import contextlib
import ipaddress
import re

from tidewatt_agent.config import Metrics, host_port
from tidewatt_wire.messages import METRICS_PATTERN


def reached_at(metrics: Metrics, host_name: str) -> str:
    """host:port; empty where there is no page, or only this machine can see it."""
    if not metrics.listen:
        return ""
    told = metrics.address or _from(metrics.listen, host_name)
    return told if re.match(METRICS_PATTERN, told) else ""


def _from(listen: str, host_name: str) -> str:
    host, port = host_port(listen)
    if host == "localhost":
        return ""
    with contextlib.suppress(ValueError):  # a name is reached by what it is
        address = ipaddress.ip_address(host)
        if address.is_loopback:
            return ""
        if address.is_unspecified:
            host = host_name
        elif address.version == 6:  # noqa: PLR2004 - IP versions
            host = f"[{host}]"
    return f"{host}:{port}"
