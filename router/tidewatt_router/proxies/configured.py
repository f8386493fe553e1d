"""The proxies that a configuration names: a section that is there is a proxy that is driven."""

from tidewatt_router.config import Config
from tidewatt_router.proxies import Proxy
from tidewatt_router.proxies.envoy import EnvoyFiles
from tidewatt_router.proxies.gateway import GatewayRoutes
from tidewatt_router.proxies.haproxy import HaproxySocket
from tidewatt_router.proxies.nginx import NginxInclude


def proxies_of(config: Config) -> tuple[Proxy, ...]:
    """All of them, in this order."""
    found: list[Proxy] = []
    if config.nginx:
        found.append(NginxInclude(config, config.nginx))
    if config.haproxy:
        found.append(HaproxySocket(config, config.haproxy))
    if config.envoy:
        found.append(EnvoyFiles(config, config.envoy))
    if config.gateway:
        found.append(GatewayRoutes(config, config.gateway))
    return tuple(found)
