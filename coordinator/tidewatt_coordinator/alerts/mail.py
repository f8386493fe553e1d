"""Telling by e-mail."""

import smtplib
import ssl
from datetime import datetime, timezone
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from tidewatt_coordinator.alerts.settings import Email
from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_link.connection import CannotConnect, read_password, trusting
from tidewatt_wire.messages import Alert

TIMEOUT_S = 15.0
LONGEST_SUBJECT = 150
_WORDS = {"firing": "", "acknowledged": "Acknowledged: ", "recovered": "Recovered: "}


def letter(settings: Email, alert: Alert) -> EmailMessage:
    """The message. Its Message-ID is the event's, so that one that comes twice is shown once; what is
    said of one episode is one thread.
    """
    mail = EmailMessage(policy=SMTP)
    domain = settings.sender.rpartition("@")[2]
    subject = " ".join(f"{_WORDS[alert.state]}{alert.summary}".split())
    mail["Subject"] = f"[Tidewatt {alert.fleet}] {subject}"[:LONGEST_SUBJECT]
    mail["From"] = Address("Tidewatt", addr_spec=settings.sender)
    mail["To"] = [Address(addr_spec=one) for one in settings.to]
    mail["Date"] = format_datetime(datetime.fromtimestamp(alert.at_ms / 1000, timezone.utc))
    mail["Message-ID"] = f"<{alert.event}@{domain}>"
    mail["References"] = f"<{alert.name}.{alert.since_ms}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    since = datetime.fromtimestamp(alert.since_ms / 1000, timezone.utc)
    lines = [alert.summary, "", f"state: {alert.state}", f"severity: {alert.severity}"]
    lines += [f"since: {since:%Y-%m-%d %H:%M} UTC", f"fleet: {alert.fleet}"]
    lines += [f"{key}: {value}" for key, value in sorted(alert.details.items())]
    if alert.by:
        lines.append(f"acknowledged by: {alert.by}{f' ({alert.note})' if alert.note else ''}")
    if alert.state == "firing":
        lines += ["", f"tidewatt alerts ack {alert.name}"]
    mail.set_content("\n".join(lines) + "\n")
    return mail


def send(settings: Email, alert: Alert) -> None:
    """Send it once; Undelivered if no server took it for anybody. Blocks."""
    deliver(settings, letter(settings, alert))


def deliver(settings: Email, mail: EmailMessage) -> None:
    """Send a message of any kind by this server; raises as `send` does."""
    where = f"alerts.email {settings.name}"
    try:
        password = read_password(settings.password_file, f"{where}: password_file")
        context = trusting(settings.ca, f"{where}: ca")
        with _server(settings, context) as server:
            if settings.user:
                server.login(settings.user, password or "")
            refused = server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        raise Undelivered(f"{settings.server} refuses every recipient", unreachable=False) from error
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        text = f"{settings.server} answers {error.smtp_code} {' '.join(said.split())}"
        raise Undelivered(text, unreachable=True) from error
    except (OSError, smtplib.SMTPException, CannotConnect, ValueError) as error:
        raise Undelivered(f"{settings.server}: {error or type(error).__name__}", unreachable=True) from error
    if refused:
        raise PartlyRefused(sorted(refused))


class PartlyRefused(Exception):
    """It was sent, but not to all: told once, for a second try would come twice to the others."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(f"refused for {', '.join(addresses)}")


def _server(settings: Email, context: ssl.SSLContext) -> smtplib.SMTP:
    host, _, port = settings.server.rpartition(":")
    if settings.tls == "tls":
        return smtplib.SMTP_SSL(host, int(port), timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(host, int(port), timeout=TIMEOUT_S)
    try:
        if settings.tls == "starttls":
            server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server
