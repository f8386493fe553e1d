"""The letter that a month's report comes with."""

from collections.abc import Sequence
from datetime import datetime, timezone
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from tidewatt_coordinator.alerts.mail import LONGEST_SUBJECT
from tidewatt_coordinator.alerts.settings import Email
from tidewatt_coordinator.reports.document import Document, money
from tidewatt_coordinator.reports.facts import Facts

#: Mail servers refuse what is much larger; it grows by a third on its way.
MOST_BYTES = 8_000_000
TYPES = {".html": ("text", "html"), ".pdf": ("application", "pdf"), ".csv": ("text", "csv")}


def letter(
    settings: Email, facts: Facts, document: Document, files: Sequence[Path], at_ms: int
) -> EmailMessage:
    """The message. Its Message-ID is the month's, so that one that comes twice is shown once."""
    mail = EmailMessage(policy=SMTP)
    domain = settings.sender.rpartition("@")[2]
    spent = ", ".join(f"{money(facts.effective(currency))} {currency}" for currency in facts.currencies)
    subject = f"[Tidewatt {facts.fleet}] {document.title}: {spent or 'no data'}"
    mail["Subject"] = subject[:LONGEST_SUBJECT]
    mail["From"] = Address("Tidewatt", addr_spec=settings.sender)
    mail["To"] = [Address(addr_spec=one) for one in settings.to]
    mail["Date"] = format_datetime(datetime.fromtimestamp(at_ms / 1000, timezone.utc))
    mail["Message-ID"] = f"<report.{facts.fleet}.{facts.month}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    room = MOST_BYTES
    attached: list[Path] = []
    left: list[Path] = []
    for file in files:
        size = file.stat().st_size
        (attached if size <= room else left).append(file)
        room -= size if size <= room else 0
    mail.set_content("\n".join(_lines(facts, document, left)) + "\n")
    for file in attached:
        maintype, subtype = TYPES[file.suffix]
        mail.add_attachment(file.read_bytes(), maintype=maintype, subtype=subtype, filename=file.name)
    return mail


def _lines(facts: Facts, document: Document, left: Sequence[Path]) -> list[str]:
    lines = [document.title, document.subtitle, ""]
    lines += [f"{tile.name}: {tile.value}{f' ({tile.more})' if tile.more else ''}" for tile in document.tiles]
    for section in document.sections:
        if section.title in ("Top movers", "There is no data"):
            lines += ["", section.title, *section.text, *(f"- {note}" for note in section.notes)]
    for file in left:
        lines += [
            "",
            f"{file.name} is too large for a letter; `tidewatt report --month {facts.month}` writes it.",
        ]
    return lines
