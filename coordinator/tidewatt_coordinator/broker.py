"""The embedded MQTT broker, for laptops and demos only (ADR 0004). On 127.0.0.1, no
authentication, nothing kept across restarts: a fleet in service uses a real broker by URL.
"""

import contextlib
import errno
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from iotcore import Broker

from tidewatt_coordinator.kin import environment

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
max_payload_size = 524288
max_inflight_count = 100
dynamic_filters = true
"""


READY_S = 15.0


class PortTakenError(OSError):
    """A port that is wanted can't be had; the sentence says which and what to do."""


class BrokerEndedError(RuntimeError):
    """The embedded broker is gone, and with it every message; one sentence."""


class EmbeddedBroker:
    """The broker's process and address."""

    def __init__(self, port: int, config: Path) -> None:
        self.address = (HOST, port)
        self.url = f"mqtt://{HOST}:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tidewatt_coordinator.broker", str(config)],
            stdin=subprocess.PIPE,  # it ends when this pipe closes, however we end
            env=environment(),
            start_new_session=True,  # a signal to our group is ours to pass on, in order
        )

    def check(self) -> None:
        """Raise BrokerEndedError if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise BrokerEndedError(f"the embedded broker ended with status {status}")

    def wait_until_ready(self) -> None:
        """Return when it accepts connections; BrokerEndedError if it doesn't in time."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=1.0):
                return
            time.sleep(0.02)
        raise BrokerEndedError(f"the embedded broker was not ready within {READY_S:.0f} s")

    def stop(self) -> None:
        """End it and wait."""
        self._process.terminate()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


@contextlib.contextmanager
def embedded(port: int) -> Iterator[EmbeddedBroker]:
    """Run the broker while the context lasts.

    Raises PortTakenError if the port is in use, BrokerEndedError if the broker doesn't come up.
    """
    check_port_free(HOST, port, "broker.embedded_port")
    with tempfile.NamedTemporaryFile("w", prefix="tidewatt-broker-", suffix=".toml") as file:
        file.write(_RUMQTTD.format(host=HOST, port=port))
        file.flush()
        broker = EmbeddedBroker(port, Path(file.name))
        try:
            broker.wait_until_ready()
            log.info("embedded broker on %s:%d", HOST, port)
            yield broker
        finally:
            broker.stop()


def listening_socket(host: str, port: int, what: str) -> socket.socket:
    """A socket that listens on host:port; PortTakenError if there can't be one. `what` names the setting."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise PortTakenError(f"{what}: {host!r} is no address of this machine: {error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"{what}: {host}:{port} is not free; choose another port") from error
        raise PortTakenError(f"{what}: {host}:{port} can't be used: {error.strerror}") from error
    return listener


def check_port_free(host: str, port: int, what: str) -> None:
    """Raise PortTakenError if nothing can listen on host:port; `what` names the setting."""
    listening_socket(host, port, what).close()


def free_port() -> int:
    """A port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _be_the_broker(config: str) -> None:
    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    # rumqttd logs every packet as an error span through Python's logging: nothing of it is news.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=end_with_parent, daemon=True).start()
    Broker(config_path=config).run_forever()


if __name__ == "__main__":
    _be_the_broker(sys.argv[1])
