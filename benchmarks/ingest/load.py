"""Reports as devices send them, published as fast as a broker takes them, by a process of its own."""

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterable

from benchmarks.fleet import packets
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Counters, Gauges, Report

#: What the issue measured its rates with; a full report of today is longer.
REPORT_BYTES = 343
#: Of one connection without an acknowledgement.
UNDER_WAY = 500
LINES = 8


def report(device: str, seq: int, at_ms: int) -> Report:
    """The `seq`th report of a device that draws a watt."""
    return Report(
        device=device,
        session="0123456789abcdef",
        epoch="fedcba9876543210",
        seq=seq,
        at_ms=at_ms + seq,
        counters=Counters(
            energy_mj=seq * 1000, requests=seq * 40, violating_ms=seq, mode_ms={"15W": seq * 1000}
        ),
        gauges=Gauges(point="15W", watts=7.25, requests_rps=40.5, p95_ms=31.25, temperature_c=51.5),
    )


def report_bytes(device: str, seq: int, at_ms: int, *, full: bool = False) -> bytes:
    """It in REPORT_BYTES: without what is null or nothing, and with blanks. `full`: as encoded."""
    whole = encode(report(device, seq, at_ms))
    if full:
        return whole
    said = json.loads(whole)
    del said["verdict"]
    for part in ("counters", "gauges"):
        said[part] = {name: value for name, value in said[part].items() if value}
    return json.dumps(said, separators=(",", ":")).encode().ljust(REPORT_BYTES)


Parts = list[list[bytes]]


def encoded(load: Iterable[tuple[str, bytes]]) -> Parts:
    """Its packets by line, each device always on the same one."""
    parts: Parts = [[] for _ in range(LINES)]
    for topic, payload in load:
        part = parts[hash(topic) % LINES]
        part.append(packets.publish(topic, payload, len(part) % 65_535 + 1, retain=False))
    return parts


def publish_all(address: tuple[str, int], load: Iterable[tuple[str, bytes]]) -> None:
    """Publish it all at QoS 1; return when all is acknowledged."""
    publish_parts(address, encoded(load))


def publish_parts(address: tuple[str, int], parts: Parts) -> None:
    """Publish what is encoded at QoS 1; return when all is acknowledged."""
    chosen = selectors.DefaultSelector()
    lines = [_Line(address, number, part) for number, part in enumerate(parts)]
    for line in lines:
        chosen.register(line.socket, selectors.EVENT_READ, line)
        line.go_on()
    while any(line.acked < len(line.part) for line in lines):
        for key, _ in chosen.select(30) or _silent():
            key.data.read()
    for line in lines:
        line.socket.close()


def _silent() -> list[tuple[selectors.SelectorKey, int]]:
    raise TimeoutError("the broker has said nothing for 30 s")


class _Line:
    """One connection: a window of publishes, and their acknowledgements, which are four bytes each."""

    def __init__(self, address: tuple[str, int], number: int, part: list[bytes]) -> None:
        self.part, self.sent, self.acked, self._held = part, 0, 0, 0
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.sendall(packets.connect(f"load-{number}", 60, None))
        answer = self.socket.recv(1)
        length = self.socket.recv(1)
        self.socket.recv(length[0])
        if answer != b"\x20":
            raise ConnectionError("the broker refused the load")

    def go_on(self) -> None:
        until = min(len(self.part), self.acked + UNDER_WAY)
        if until > self.sent:
            self.socket.sendall(b"".join(self.part[self.sent : until]))
            self.sent = until

    def read(self) -> None:
        some = self.socket.recv(65_536)
        if not some:
            raise ConnectionError("the broker hung up on the load")
        self._held += len(some)
        done, self._held = divmod(self._held, 4)
        self.acked += done
        if self.sent - self.acked <= UNDER_WAY // 2:
            self.go_on()


def main() -> None:
    """`load.py HOST PORT DEVICES EACH AT_MS full|short`; after `ready` a line begins it.

    Then it says the CPU seconds that it took.
    """
    host, port, devices, each, at_ms, size = sys.argv[1:]
    names = [f"jetson-{number:06d}" for number in range(int(devices))]
    parts = encoded(
        (f"tidewatt/v1/f/device/{name}/report", report_bytes(name, seq, int(at_ms), full=size == "full"))
        for seq in range(int(each))
        for name in names
    )
    print("ready", flush=True)
    sys.stdin.readline()
    cpu_s = time.process_time()
    publish_parts((host, int(port)), parts)
    print(time.process_time() - cpu_s, flush=True)


if __name__ == "__main__":
    main()
