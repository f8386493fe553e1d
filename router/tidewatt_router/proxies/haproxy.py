"""HAProxy: `set server b/s weight N` over the runtime socket, at once and without a reload.

Weights are 0 to 256; 0 drains: what is open stays, nothing new comes. A balance that is static (source, uri,
first without hash-type consistent) takes no other weights than 0 and 100 %, and says so. The configuration
should give every server weight 0 to 256 from the start (`weight 100`): after a restart HAProxy has those
until the router has seen it. `maxconn` holds a server to what it can take (0: any number); roundrobin and
leastconn then pass it over, and when all are full requests wait. It can't be read back.
"""

import csv
import socket
from collections.abc import Iterator, Mapping

from tidewatt_router import rounding
from tidewatt_router.config import Config, Haproxy
from tidewatt_router.proxies import Achieved, CannotApply
from tidewatt_router.splits import Split, Wanted

LARGEST = 256
#: A line of commands must fit HAProxy's buffer, 16 KiB unless it is told otherwise.
LONGEST_LINE = 8_000


class HaproxySocket:
    """The runtime socket."""

    name = "haproxy"
    pause_s = 0.0

    def __init__(self, config: Config, haproxy: Haproxy) -> None:
        self._path, self._timeout_s = haproxy.socket, config.router.command_s
        self._servers = {backend.name: backend.server_name for backend in config.backend}
        self._routes = [route.name for route in config.route]

    def weights(self, split: Split) -> Mapping[str, int]:
        """0 to 256."""
        return rounding.of_largest(split.parts, LARGEST)

    def achieved(self, split: Split) -> Achieved:
        """What the weights say."""
        weights = self.weights(split)
        return Achieved(rounding.shares(weights), 0.0 if any(weights.values()) else 1.0)

    def render(self, wanted: Wanted) -> str:
        """The commands."""
        return "".join(f"{command}\n" for command in self._commands(wanted))

    def apply(self, wanted: Wanted) -> None:
        """Say it, drops to nothing first, and read it back."""
        for line in _lines(self._commands(wanted)):
            if answer := self._ask(line).strip():
                raise CannotApply(f"haproxy: {answer.splitlines()[0]}")
        if not self.stands(wanted):
            raise CannotApply("haproxy: the weights read back are not those that were set")

    def stands(self, wanted: Wanted) -> bool:
        """Whether every server has the weight."""
        for split in wanted.splits:
            held = self._held(split.route)
            for name, weight in self.weights(split).items():
                if self._servers[name] not in held:
                    raise CannotApply(f"haproxy has no server {split.route}/{self._servers[name]}")
                if held[self._servers[name]] != weight:
                    return False
        return True

    def check(self) -> None:
        """Whether it answers and has our backends."""
        for route in self._routes:
            self._held(route)

    def _commands(self, wanted: Wanted) -> list[str]:
        found = [
            (weight > 0, f"set server {split.route}/{self._servers[name]} weight {weight}")
            for split in wanted.splits
            for name, weight in self.weights(split).items()
        ]
        held = [
            f"set maxconn server {split.route}/{self._servers[name]} {split.most.get(name, 0)}"
            for split in wanted.splits
            for name in split.parts
        ]
        return [command for _, command in sorted(found, key=lambda one: one[0])] + held

    def _held(self, route: str) -> dict[str, int]:
        answer = self._ask(f"show servers state {route}")
        head = next((line for line in answer.splitlines() if line.startswith("# ")), None)
        if head is None:
            raise CannotApply(f"haproxy, backend {route}: {answer.strip() or 'no answer'}")
        rows = [line for line in answer.splitlines()[2:] if line]
        found = csv.DictReader(rows, fieldnames=head[2:].split(), delimiter=" ")
        return {row["srv_name"]: int(row["srv_uweight"]) for row in found}

    def _ask(self, line: str) -> str:
        """The answer to one line; HAProxy then closes the connection."""
        try:
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(self._timeout_s)
                channel.connect(self._path)
                channel.sendall(line.encode() + b"\n")
                return b"".join(iter(lambda: channel.recv(65536), b"")).decode("utf-8", "replace")
        except OSError as error:
            raise CannotApply(f"haproxy.socket {self._path}: {error.strerror or error}") from error


def _lines(commands: list[str]) -> Iterator[str]:
    """The commands, as many in a line as fit: HAProxy does a line's in one go."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) >= LONGEST_LINE:
            yield line
            line = ""
        line += f";{command}" if line else command
    if line:
        yield line
