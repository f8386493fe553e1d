"""What the tests of costs share: charges, an HTTP source that fails on command, and AWS by moto's server."""

import http.client
import http.server
import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from tidewatt_coordinator.costs.charge import KINDS, Charge, Kind
from tidewatt_coordinator.costs.focus_columns import SERVICE_CATEGORIES

DAY_MS = 86_400_000
#: 2026-10-01, a Thursday.
OCTOBER_MS = 1_790_812_800_000


def a_charge(**values: Any) -> Charge:
    """A dollar of the first of October, but for what is said."""
    known: dict[str, Any] = {
        "source": "focus",
        "key": "k",
        "start_ms": OCTOBER_MS,
        "end_ms": OCTOBER_MS + DAY_MS,
        "provider": "Amazon Web Services",
        "service": "AWS Lambda",
        "billed": Decimal(1),
        "effective": Decimal(1),
        "currency": "USD",
    }
    if "billed" in values:
        known["effective"] = values["billed"]
    return Charge(**known | values)


def amounts(least: str = "-1000000", most: str = "1000000") -> st.SearchStrategy[Decimal]:
    return st.decimals(least, most, allow_nan=False, allow_infinity=False, places=12).map(
        lambda value: value.normalize() + 0
    )


def texts() -> st.SearchStrategy[str]:
    # Surrogates and NUL are no text that a database keeps: what is read is freed of them.
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@st.composite
def charges(draw: st.DrawFn) -> Charge:
    """Any charge that FOCUS can say."""
    start_s = draw(st.integers(0, 4_000_000_000))
    kind: Kind = draw(st.sampled_from(KINDS))
    quantity = draw(st.none() | amounts())
    return Charge(
        source="edge",
        key=draw(st.text("abc", min_size=1, max_size=4)),
        start_ms=start_s * 1000,
        end_ms=(start_s + draw(st.integers(1, 40_000_000))) * 1000,
        provider=draw(texts().filter(bool)),
        service=draw(texts().filter(bool)),
        category=draw(st.sampled_from(SERVICE_CATEGORIES)),
        region=draw(texts()),
        account=draw(texts()),
        resource=draw(texts()),
        description=draw(texts()),
        tags=draw(st.dictionaries(texts(), texts(), max_size=3)),
        quantity=quantity,
        unit="" if quantity is None else draw(texts().filter(bool)),
        billed=draw(amounts()),
        effective=draw(amounts()),
        marginal=draw(st.none() | amounts()),
        list_cost=draw(st.none() | amounts()),
        currency=draw(st.sampled_from(("USD", "EUR", "JPY"))),
        kind=kind,
    )


class Source:
    """A real HTTP server in place of OpenCost or Prometheus. What it was asked is in `asked`."""

    def __init__(self, certificate: Path | None = None) -> None:
        """`certificate`: a PEM file of its chain and key; it speaks TLS then."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.authorizations: list[str | None] = []
        self.answers: dict[str, Any] = {}
        """By path: JSON, bytes, or a function of the parameters that gives either."""
        self.status = 200
        source = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place = urlsplit(self.path)
                parameters = {key: values[0] for key, values in parse_qs(place.query).items()}
                source.asked.append((place.path, parameters))
                source.authorizations.append(self.headers.get("Authorization"))
                answer = source.answers.get(place.path, b"")
                answer = answer(parameters) if callable(answer) else answer
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(source.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def source() -> Iterator[Source]:
    running = Source()
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def aws() -> Iterator[str]:
    """The URL of a fresh AWS, with credentials in the environment that are good for nothing else."""
    before = dict(os.environ)
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",  # noqa: S106 - no secret
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        # Over a thousand images and snapshots of others, made anew at every reset.
        MOTO_EC2_LOAD_DEFAULT_AMIS="false",
    )
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        os.environ.pop(name, None)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    try:
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)


def emptied(url: str) -> None:
    """Take everything out of that AWS."""
    split = urlsplit(url)
    with closing(http.client.HTTPConnection(split.hostname or "", split.port, timeout=20)) as connection:
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == http.HTTPStatus.OK
