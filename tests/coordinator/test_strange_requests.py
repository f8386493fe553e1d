"""Requests that try to get out of their place: paths, headers, names."""

import socket
from collections.abc import Iterator

import pytest
from tests.office import admin_key, office, served

KEYS: list[bytes] = []
"""The key of who asks."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with office(tmp_path_factory.mktemp("office")) as coordinator, served(coordinator) as found:
        KEYS.append(admin_key(coordinator).encode())
        yield found


def ask(address: str, request: bytes) -> tuple[bytes, bytes]:
    """The answer's head and body to a request written by hand: clients would tidy it."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(request)
        found = b""
        while part := line.recv(65536):
            found += part
    head, _, body = found.partition(b"\r\n\r\n")
    return head, body


def request(path: bytes, *headers: bytes) -> bytes:
    with_key = b"Authorization: Bearer " + KEYS[-1]
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", with_key, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize(
    "path",
    [
        b"/../../../../etc/passwd", b"/static/../../config.py", b"/static/..%2f..%2fconfig.py",
        b"/static/%2e%2e/%2e%2e/config.py", b"/static/..%5c..%5cconfig.py", b"/static//etc/passwd",
        b"/static/%00", b"/static/__init__.py", b"/v1/devices/..%2f..%2fetc%2fpasswd", b"/v1/devices/%2e%2e",
        b"/v1/history/..%2f..",
        b"/v1/devices/" + b"a" * 5000, b"/v1/devices/%ff%fe", b"/static/app.js%00.css",
    ],
)  # fmt: skip
def test_no_path_leads_out(address: str, path: bytes) -> None:
    head, body = ask(address, request(path))
    status = int(head.split(b" ", 2)[1])
    assert 400 <= status < 500, (status, body[:300])
    assert b"root:" not in body
    assert b"import " not in body


@pytest.mark.parametrize(
    "name", [b"x y", b"<script>", b"a" * 5000, b"%0d%0aX-Own: 1", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9"]
)
def test_what_a_caller_names_makes_no_header(address: str, name: bytes) -> None:
    head, body = ask(address, request(b"/v1/nowhere", b"X-Request-Id: " + name))
    assert b"x-own" not in head.lower()
    assert name not in head + body


def test_a_request_that_is_two_is_one_or_none(address: str) -> None:
    """A body's length said twice, and two ways of saying it: no second request is smuggled in."""
    smuggled = b"GET /v1/fleet HTTP/1.1\r\nHost: x\r\n\r\n"
    for lengths in (
        b"Content-Length: 0\r\nContent-Length: %d" % len(smuggled),
        b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(smuggled),
    ):
        asked = (
            b"POST /v1/nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + lengths
            + b"\r\n\r\n"
            + smuggled
        )
        head, body = ask(address, asked)
        assert (head + body).count(b"HTTP/1.1 ") == 1
        assert not head.startswith(b"HTTP/1.1 2")
