"""From the configuration to a client of the broker: TLS, certificates, passwords, and why there is none."""

import asyncio
import contextlib
import logging
import math
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeVar

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode

from tidewatt_link.ending import ended, within
from tidewatt_wire.brokers import Credentials, parse_broker_url, why_not

T = TypeVar("T")

NONE_SHOWN = Credentials()
#: The longest that a handshake or an answer may take, seconds.
TIMEOUT_S = 10.0
GOODBYE_S = 0.2
LOOKS_IN_KEEPALIVE = 5


class CannotConnect(aiomqtt.MqttError):
    """There is no connection; one sentence that says which broker or file, and why."""

    @property
    def host_refused(self) -> bool:
        """Whether the broker's host refused: it answers, so the network between is there."""
        found: BaseException | None = self
        while found and not isinstance(found, ConnectionRefusedError):
            # aiomqtt raises its own error "from None", which leaves the first one as its context.
            found = found.__cause__ or found.__context__
        return found is not None


class Connection:
    """The way to one broker. Files are read anew for each connection: a renewed certificate is taken up."""

    def __init__(
        self, url: str, credentials: Credentials = NONE_SHOWN, *, setting: str = "broker.url"
    ) -> None:
        """ValueError if `url` is none; `setting` is where it stands in the configuration, for sentences."""
        self.url = parse_broker_url(url, setting)
        self._shown, self._section = credentials, setting.rpartition(".")[0]

    def tls(self) -> ssl.SSLContext | None:
        """What guards the connection; None without TLS. CannotConnect for a file that can't be used."""
        if not self.url.tls:
            return None
        shown, section = self._shown, self._section
        context = trusting(shown.ca, f"{section}.ca")
        if shown.certificate:
            key, holds = (shown.key, "key") if shown.key else (shown.certificate, "certificate")
            check_private(key, f"{section}.{holds}")
            try:
                # Without a password here an encrypted key would make OpenSSL ask at the terminal.
                context.load_cert_chain(shown.certificate, key, password=b"")
            except (OSError, ValueError) as error:
                raise CannotConnect(f"{section}.certificate {shown.certificate}: {_said(error)}") from error
        return context

    def certificate_ends_s(self) -> float | None:
        """When the certificate that is shown ends, in Unix seconds; None without one, or one that is none."""
        if not self._shown.certificate:
            return None
        from cryptography import x509  # noqa: PLC0415 - 8 MB resident, for those that show a certificate

        try:
            found = x509.load_pem_x509_certificate(Path(self._shown.certificate).read_bytes())
        except (OSError, ValueError):
            return None
        return found.not_valid_after_utc.timestamp()

    def arguments(self) -> dict[str, Any]:
        """The arguments for aiomqtt.Client. CannotConnect for a file that can't be used."""
        shown = self._shown
        password = read_password(shown.password_file, f"{self._section}.password_file")
        return {
            "hostname": self.url.host,
            "port": self.url.port,
            "protocol": aiomqtt.ProtocolVersion.V5,
            "transport": self.url.transport,
            "websocket_path": self.url.path or None,
            "tls_context": self.tls(),
            "username": shown.user or None,
            "password": password,
        }

    def cannot(self, why: str) -> CannotConnect:
        """One sentence for a connection that failed with a library's words."""
        return CannotConnect(why_not(why, self.url, self._section))

    @contextlib.asynccontextmanager
    async def client(self, *, by_hand: bool = False, **more: Any) -> AsyncIterator[aiomqtt.Client]:
        """A connected client, with `more` of aiomqtt.Client's arguments; CannotConnect says why not.

        `by_hand`: what comes is not acknowledged by the client.
        """
        arguments = await asyncio.to_thread(self.arguments)
        lost = _Lost(asyncio.get_running_loop())
        client = _Client(**({"timeout": TIMEOUT_S} | arguments | more), logger=lost.logger)
        client._client.manual_ack_set(by_hand)  # noqa: SLF001 - aiomqtt has no name for it
        try:
            await _enter(client, lost)
        except aiomqtt.MqttError as error:
            await _hang_up(client)
            raise self.cannot(lost.why or str(error)) from error
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(client)
            yield client


class _Client(aiomqtt.Client):
    """A client that loses no cancellation, and that sleeps between two looks after its keepalive."""

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:
        # aiomqtt's own is asyncio.wait_for: a publish whose answer comes just when its task is cancelled
        # would leave that task running for ever.
        limit_s = self.timeout if timeout is None else timeout
        try:
            return await within(fut, None if limit_s == math.inf else limit_s)
        except asyncio.TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None

    async def _misc_loop(self) -> None:
        # aiomqtt's own wakes the process every second. What is due is a ping after the keepalive's time, and
        # the end when none is answered; a broker waits half as long again. Were this called otherwise one
        # day, then aiomqtt's own would be back.
        pause_s = 1.0  # till the broker has said whether it wants another keepalive
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            await asyncio.sleep(pause_s)
            pause_s = max(1.0, self._client.keepalive / LOOKS_IN_KEEPALIVE)


def trusting(ca: str, setting: str) -> ssl.SSLContext:
    """A context that believes in the CAs of a PEM file, the system's if `ca` is empty. CannotConnect."""
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ValueError) as error:
        raise CannotConnect(f"{setting} {ca}: {_said(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Line
    return context


class _Line(ssl.SSLSocket):
    """Closed at once when the other side can't be believed; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """As SSLSocket's."""
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


def check_private(path: str, setting: str) -> None:
    """Raise CannotConnect for a secret's file that isn't there or that everybody may read."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise CannotConnect(f"{setting} {path}: {error.strerror}") from error
    if mode & stat.S_IRWXO:
        raise CannotConnect(f"{setting} {path} is open to every user of this machine: chmod 600 {path}")


def read_password(path: str, setting: str) -> str | None:
    """The first line of the file, None without a path. CannotConnect where there is none to be had."""
    if not path:
        return None
    check_private(path, setting)
    try:
        password = Path(path).read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, ValueError) as error:
        raise CannotConnect(f"{setting} {path}: {_said(error)}") from error
    if not password:
        raise CannotConnect(f"{setting} {path}: its first line is empty")
    return password


def _said(error: Exception) -> str:
    """What is wrong with a file of certificates, keys or words."""
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return "it isn't UTF-8 text"
    if "KEY_VALUES_MISMATCH" in text:
        return "the key is not this certificate's"
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        return "it holds no PEM certificate, no key, or a key that is encrypted"
    return error.strerror or text


class _Lost(logging.Handler):
    """Hears from paho's log, which alone says so, why a connection broke before the broker's answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.ERROR)
        self.why = ""
        self.broken = asyncio.Event()
        self._loop = loop
        self.logger = logging.Logger("mqtt")  # noqa: LOG001 - of this connection alone
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it; the log may be written in another thread."""
        self.why = record.getMessage()
        self._loop.call_soon_threadsafe(self.broken.set)


async def _hang_up(client: aiomqtt.Client) -> None:
    # Who gave no answer is still on the line, and aiomqtt waits for its goodbye as long as for the answer.
    with contextlib.suppress(aiomqtt.MqttError, asyncio.TimeoutError):
        await within(client.__aexit__(None, None, None), GOODBYE_S)


async def _enter(client: aiomqtt.Client, lost: _Lost) -> None:
    """Enter the client, or raise MqttError as soon as the connection breaks and not a timeout later."""
    entering = asyncio.ensure_future(client.__aenter__())
    breaking = asyncio.ensure_future(lost.broken.wait())
    try:
        await asyncio.wait({entering, breaking}, return_when=asyncio.FIRST_COMPLETED)
        if not entering.done():
            raise aiomqtt.MqttError(lost.why)
        entering.result()
    except asyncio.CancelledError:
        if entering.done() and not entering.cancelled() and entering.exception() is None:
            await client.__aexit__(None, None, None)
        raise
    finally:
        await ended(entering, breaking)
