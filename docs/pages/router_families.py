"""The router's metric families, of one that follows a table and has refused another."""

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Metric

from tidewatt_link.connection import Connection as RouterConnection
from tidewatt_router.applier import Applier
from tidewatt_router.config import Config as RouterConfig
from tidewatt_router.config import Haproxy
from tidewatt_router.keeping import TableFile
from tidewatt_router.link import Link as RouterLink
from tidewatt_router.metrics import RouterMetrics
from tidewatt_router.proxies.haproxy import HaproxySocket
from tidewatt_router.routes import Backend, Route
from tidewatt_router.tables import Tables
from tidewatt_router.watch import Watch
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import DispatchTable
from tidewatt_wire.signing import DISPATCH_TYPE, seal, signer


def router_families() -> Iterator[Metric]:
    """Of one that follows a table and has refused another."""
    key, clock = signer(Ed25519PrivateKey.generate()), Clock(lambda: 0.0, lambda: 0.0)
    config = RouterConfig(backend=[Backend(name="backend")], route=[Route(name="route")])
    tables = Tables("fleet", lambda: [key.trusted], TableFile(None))
    table = DispatchTable(fleet="fleet", epoch=1, issued_at_ms=0, expires_at_ms=1000, weights={"backend": 1})
    for envelope in (seal(encode(table), [key], DISPATCH_TYPE), b""):
        tables.offer(envelope, 0)
    applier = Applier(HaproxySocket(config, Haproxy(socket="")), clock.monotonic_s, 1.0)
    watch = Watch(config, tables, [applier], clock)
    watch.look()
    applier.applied = watch.wanted
    link = RouterLink(RouterConnection("mqtt://broker"), "fleet", "router", lambda _table: None)
    yield from RouterMetrics("0", tables, [applier], link, watch, clock.now_ms).collect()
