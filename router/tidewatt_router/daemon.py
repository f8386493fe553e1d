"""Everything the router is, in order: the table that is held, the proxies, the link, the page, the tick.

A dead coordinator or broker changes nothing until the table expires; then its safe half holds, or equal
shares where there is none. A dead router leaves the proxy as it is.
"""

import asyncio
import contextlib
import time

from sdnotify import SystemdNotifier

from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_link.stopping import eternal, until_told_or_broken
from tidewatt_router import VERSION
from tidewatt_router.applier import Applier
from tidewatt_router.config import Config, kept_in
from tidewatt_router.keeping import TableFile, configured_keys
from tidewatt_router.link import Link
from tidewatt_router.metrics import RouterMetrics, serve
from tidewatt_router.proxies.configured import proxies_of
from tidewatt_router.tables import Tables
from tidewatt_router.watch import Watch
from tidewatt_wire.clock import Clock

#: The last good table, in the state folder.
TABLE_FILE = "table.json"


async def run(config: Config, *, until_eof: bool = False) -> None:
    """Be the router until stopped. ValueError or OSError for bad keys, or a port that is taken."""
    configured_keys(config.link)
    clock = Clock(time.monotonic, time.time)
    tables = Tables(
        config.router.fleet, lambda: configured_keys(config.link), TableFile(kept_in(config, TABLE_FILE))
    )
    tables.load()
    appliers = [Applier(proxy, clock.monotonic_s, config.router.verify_s) for proxy in proxies_of(config)]
    watch = Watch(config, tables, appliers, clock)

    def offered(envelope: bytes) -> None:
        if tables.offer(envelope, clock.now_ms()):
            watch.look()

    link = None
    if config.link.broker:
        broker = Connection(config.link.broker, config.link, setting="link.broker")
        link = Link(broker, config.router.fleet, config.name, offered)
    notifier = SystemdNotifier()
    with contextlib.ExitStack() as stack:
        page = RouterMetrics(VERSION, tables, appliers, link, watch, clock.now_ms)
        stack.enter_context(serve(config.metrics.listen, page))
        works = [eternal(f"{applier.proxy.name} applier", applier.run()) for applier in appliers]
        works += [eternal("link", link.run())] if link else []
        works += [eternal("tick", _tick(config, watch, notifier))]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            notifier.notify("READY=1")
            await until_told_or_broken(tasks, until_eof=until_eof)
        finally:
            notifier.notify("STOPPING=1")
            await ended(*tasks)


async def _tick(config: Config, watch: Watch, notifier: SystemdNotifier) -> None:
    while True:
        watch.look()
        notifier.notify("WATCHDOG=1")
        await asyncio.sleep(config.router.tick_s)
