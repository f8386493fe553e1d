"""A device's own network: a namespace of the kernel behind one cable, which can lose, narrow and be pulled.

Needs root. What can be done to the cable is what this kernel can do without netem: packets are dropped at
random by iptables, narrowed by a token bucket, and the link is taken down. Delay is the chaos run's.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator

#: Bits per second of a very thin line, as a bad mobile one; a report is 343 bytes.
THIN_BPS = 32_000


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


class Namespace:
    """One end of a cable whose other end is here."""

    def __init__(self) -> None:
        # No two of them, also of two runs beside each other: named, and numbered, by the process.
        number = os.getpid() % 16_384
        self.name, self._near, self._far = f"twnet{number}", f"twn{number}", f"twf{number}"
        subnet = f"10.213.{number // 64}"
        first = number % 64 * 4
        self.here, self._there = f"{subnet}.{first + 1}", f"{subnet}.{first + 2}"
        """The address by which the device reaches this machine."""

    @property
    def within(self) -> list[str]:
        """What a command begins with so that it runs in there."""
        return ["ip", "netns", "exec", self.name]

    def lay(self) -> None:
        """Make it."""
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        _run("ip", "addr", "add", f"{self.here}/30", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        _run(*self.within, "ip", "addr", "add", f"{self._there}/30", "dev", self._far)
        for name in (self._far, "lo"):
            _run(*self.within, "ip", "link", "set", name, "up")

    def remove(self) -> None:
        """Take it away; its end of the cable goes with it."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._near], capture_output=True, check=False)

    @contextlib.contextmanager
    def losing(self, share: float, chains: tuple[str, ...] = ("INPUT", "OUTPUT")) -> Iterator[None]:
        """Lose this share of the packets, at random; `chains`: of which way."""
        rules = [
            [chain, "-m", "statistic", "--mode", "random", "--probability", f"{share:.2f}", "-j", "DROP"]
            for chain in chains
        ]
        for rule in rules:
            _run(*self.within, "iptables", "-A", *rule)
        try:
            yield
        finally:
            for rule in rules:
                _run(*self.within, "iptables", "-D", *rule)

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        """Half a partition: it is heard and hears nothing."""
        _run(*self.within, "iptables", "-A", "INPUT", "-j", "DROP")
        try:
            yield
        finally:
            _run(*self.within, "iptables", "-D", "INPUT", "-j", "DROP")

    @contextlib.contextmanager
    def thin(self) -> Iterator[None]:
        """THIN_BPS in both directions, with half a second of room."""
        bucket = ["root", "tbf", "rate", f"{THIN_BPS}bit", "burst", "1600", "latency", "500ms"]
        _run("tc", "qdisc", "add", "dev", self._near, *bucket)
        _run(*self.within, "tc", "qdisc", "add", "dev", self._far, *bucket)
        try:
            yield
        finally:
            _run("tc", "qdisc", "del", "dev", self._near, "root")
            _run(*self.within, "tc", "qdisc", "del", "dev", self._far, "root")

    @contextlib.contextmanager
    def pulled(self) -> Iterator[None]:
        """The cable is out."""
        _run("ip", "link", "set", self._near, "down")
        try:
            yield
        finally:
            _run("ip", "link", "set", self._near, "up")
