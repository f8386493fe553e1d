"""Where Prometheus fetches the agent's metrics page. Nothing is made until it asks, and nothing wakes to look
whether it does: prometheus-client's own thread would, twice a second.
"""

import contextlib
import logging
import socket
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from tidewatt_agent.config import host_port

log = logging.getLogger(__name__)


def serve(metrics: Collector, listen: str) -> "Serving":
    """Serve on host:port until closed.

    Raises OSError if the port is taken, ValueError if `listen` is no host:port.
    """
    host, port = host_port(listen)
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)  # the agent's own cost: process_resident_memory_bytes and the like
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        of_family = type("Server", (ThreadingWSGIServer,), {"address_family": family})
        server: ThreadingWSGIServer = make_server(
            str(address[0]), port, make_wsgi_app(registry), of_family, _Silent
        )
    except OSError as error:
        raise OSError(f"metrics.listen {listen}: {error.strerror}") from error
    log.info("metrics on http://%s/metrics", listen)
    return Serving(server)


class Serving:
    """The endpoint while it is served."""

    def __init__(self, server: ThreadingWSGIServer) -> None:
        self._server = server
        # Without a limit: it waits until somebody asks.
        self._thread = Thread(target=server.serve_forever, args=(None,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and give the port back."""
        with contextlib.suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)  # which ends the waiting
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Silent(WSGIRequestHandler):
    """A page fetched every few seconds is no news."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base has it
        """Log nothing."""
