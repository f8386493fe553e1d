"""Those who are told, at the world's edge: a real HTTP server and a real SMTP server that fail on command."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from tests.ports import free_port
from tests.secured import now

from tidewatt_coordinator.pki.certificates import key_pem, new_authority, new_certificate, new_key, pem


class Hearing:
    """A webhook's other end. What came is in `heard`: headers, and the body."""

    def __init__(self, certificate: ssl.SSLContext | None = None) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.location = ""
        self.answers = threading.Event()
        """Cleared: it hears, and keeps its answer to itself."""
        self.answers.set()
        hearing = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hearing.heard.append(({key.lower(): value for key, value in self.headers.items()}, body))
                if not hearing.answers.wait(30):
                    return
                self.send_response(hearing.status)
                if hearing.location:
                    self.send_header("Location", hearing.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        if certificate:
            self._server.socket = certificate.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def hearing(certificate: ssl.SSLContext | None = None) -> Iterator[Hearing]:
    running = Hearing(certificate)
    try:
        yield running
    finally:
        running.stop()


def certified(folder: Path) -> tuple[str, ssl.SSLContext]:
    """The CA's file, and a server's context for 127.0.0.1."""
    authority, key = new_authority("f", now()), new_key()
    made = new_certificate(authority, "server", ["127.0.0.1", "localhost"], key.public_key(), now(), 7)
    (folder / "ca.crt").write_bytes(pem(authority.certificate))
    (folder / "server.pem").write_bytes(pem(made) + key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return str(folder / "ca.crt"), context


class PostOffice:
    """An SMTP server that demands STARTTLS and a password. What came is in `letters`."""

    USER, PASSWORD = "tidewatt", "correct horse"

    def __init__(self, context: ssl.SSLContext) -> None:
        self.letters: list[Message] = []
        self.refused: dict[str, str] = {}
        """By recipient: the answer."""
        self.answer = "250 OK"
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._knows,
        )
        # It waits for itself on the port that it was given, so it needs one that is known before.
        self._controller.port = free_port()

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self._controller.port}"

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.letters.append(message_from_bytes(envelope.content, policy=default))
        return self.answer

    def _knows(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, shown: Any
    ) -> AuthResult:
        assert isinstance(shown, LoginPassword)
        good = shown.login == self.USER.encode() and shown.password == self.PASSWORD.encode()
        return AuthResult(success=good, handled=False)


@contextmanager
def post_office(context: ssl.SSLContext) -> Iterator[PostOffice]:
    office = PostOffice(context)
    office._controller.start()
    try:
        yield office
    finally:
        office._controller.stop()
