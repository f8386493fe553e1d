"""The embedded MQTT broker, for laptops and demos only (ADR 0004). On 127.0.0.1, no
authentication, nothing kept across restarts: a fleet in service uses a real broker by URL.
"""

import contextlib
import logging
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from iotcore import Broker

log = logging.getLogger(__name__)

HOST = "127.0.0.1"

#: rumqttd's own configuration: one MQTT 5 listener, payloads up to the codec's limit.
_RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
"""


class PortTakenError(OSError):
    """A port that is wanted is in use; the sentence says which and what to do."""


@contextlib.contextmanager
def embedded(port: int) -> Iterator[tuple[str, int]]:
    """Run the broker while the context lasts; gives its address.

    Raises PortTakenError if the port is in use, RuntimeError if the broker doesn't come up.
    """
    check_port_free(HOST, port, "broker.embedded_port")
    with tempfile.NamedTemporaryFile("w", prefix="tidewatt-broker-", suffix=".toml") as file:
        file.write(_RUMQTTD.format(host=HOST, port=port))
        file.flush()
        broker = Broker(config_path=str(Path(file.name)))
        try:
            broker.start()
        except OSError as error:  # taken between our look and its own
            raise PortTakenError(f"broker.embedded_port: {error}") from error
        log.info("embedded broker on %s:%d, for demos only", HOST, port)
        try:
            yield HOST, port
        finally:
            broker.stop()


def check_port_free(host: str, port: int, what: str) -> None:
    """Raise PortTakenError if nothing can listen on host:port; `what` names the setting."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTakenError(
                f"{what}: {host}:{port} is not free ({error.strerror}); choose another port"
            ) from error


def free_port() -> int:
    """A port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
