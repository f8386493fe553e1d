"""A proxy between a driver and AWS, which fails as told: the world's edge of drivers."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import httpx

Fault = Literal["", "throttled", "cut_before", "cut_after"]
Answer = Callable[[str, str, bytes], "tuple[int, bytes] | None"]

XML = (
    b'<?xml version="1.0"?><ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>'
    b"<Message>slow</Message></Error></ErrorResponse>"
)

JSON = b'{"__type": "ThrottlingException", "message": "slow"}'


class Between:
    """`faults` is used up from the front, one for each request that changes something."""

    def __init__(self, upstream: str) -> None:
        self.upstream, self.url = upstream, ""
        self.faults: list[Fault] = []
        self.changes: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers of what changed something."""
        # Made once: every client reads all certificates there are.
        self.client = httpx.Client(timeout=20)
        self.answers: list[Answer] = []
        """For calls that the stand-in behind doesn't know: the first that answers is taken."""

    def restored(self) -> None:
        """Whole again, with nothing remembered."""
        self.faults.clear()
        self.changes.clear()
        self.answers.clear()

    def told(self, method: str, path: str, headers: dict[str, str]) -> Fault:
        tagged = headers.get("X-Amz-Target", "").endswith((".TagResources", ".UntagResources"))
        changes = method in ("PUT", "DELETE") or (method == "POST" and path.startswith("/2013-04-01/"))
        if not changes and not tagged:
            return ""
        self.changes.append((method, path, headers))
        return self.faults.pop(0) if self.faults else ""

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        for one in self.answers:
            if (found := one(method, path, body)) is not None:
                return *found, {"Content-Type": "application/json"}
        kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "connection", "content-length")}
        got = self.client.request(method, self.upstream + path, headers=kept, content=body)
        gone = ("content-length", "transfer-encoding", "connection", "content-encoding", "server", "date")
        return got.status_code, got.content, {k: v for k, v in got.headers.items() if k.lower() not in gone}


@contextmanager
def between(upstream: str) -> Iterator[Between]:
    proxy = Between(upstream)

    class Door(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers.items())
            fault = proxy.told(self.command, self.path, headers)
            if fault == "cut_before":
                return
            if fault == "throttled":
                lambdas = "/functions/" in self.path
                more = {"x-amzn-ErrorType": "TooManyRequestsException"} if lambdas else {}
                said = JSON if "X-Amz-Target" in headers else XML
                self.reply(429 if lambdas else 400, b"{}" if lambdas else said, more)
                return
            found = proxy.answer(self.command, self.path, headers, body)
            if fault != "cut_after":
                self.reply(*found)

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        proxy.client.close()
