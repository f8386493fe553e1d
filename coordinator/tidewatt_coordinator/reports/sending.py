"""Sending last month's report: once for each month and fleet, whoever coordinates."""

import asyncio
import logging
from collections.abc import Callable
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.alerts.mail import PartlyRefused, deliver
from tidewatt_coordinator.alerts.settings import Email
from tidewatt_coordinator.alerts.telling import back_off_ms, real_time_ms
from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.reports.book import SentBook
from tidewatt_coordinator.reports.gather import gather
from tidewatt_coordinator.reports.letter import letter
from tidewatt_coordinator.reports.pages import document
from tidewatt_coordinator.reports.schedule import due
from tidewatt_coordinator.reports.writing import file_name, write
from tidewatt_wire.clock import Clock

log = logging.getLogger(__name__)

#: Real seconds between two looks at whether a report is due.
EVERY_S = 30.0


class Sending:
    """Of several coordinators the one that may, sends. `run` never ends by itself.

    A crash between the server's "250 OK" and the database's leaves one case in which it is sent again;
    both letters then have one Message-ID. The other way round a crash would lose the report.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        clock: Clock,
        may: Callable[[], bool] = lambda: True,
        real_ms: Callable[[], int] = real_time_ms,
    ) -> None:
        self._ledger, self._config, self._clock = ledger, config, clock
        self._may, self._real_ms = may, real_ms
        self._book = SentBook(ledger.engine, config.coordinator.fleet)
        self._failing = False

    async def run(self) -> None:
        """Send for ever; a failure is news once, and tried again."""
        while True:
            if self._config.reports.email and self._may():
                try:
                    await asyncio.to_thread(self.round)
                except SQLAlchemyError as error:
                    self._complain(str(error).partition("\n")[0])
            await asyncio.sleep(EVERY_S)

    def round(self) -> bool:
        """Send what is due; whether anything was. Blocks."""
        now_ms = self._clock.now_ms()
        first = due(self._config.reports, now_ms)
        if first is None:
            return False
        month = f"{first:%Y-%m}"
        claim = self._book.claim(month, self._real_ms())
        if claim is None:
            return False
        refused = ""
        try:
            email, mail = self._made(first, now_ms)
            held = self._book.renew(month, claim, self._real_ms())
            if held is None:
                return False  # it took so long that another has taken over
            claim = held
            deliver(email, mail)
        except PartlyRefused as error:
            refused = str(error)
            log.warning("the report of %s: %s", month, error)
        except (Undelivered, ValueError, OSError) as error:
            # ValueError: a file of sites is wrong, or what draws charts is not installed.
            again_ms = self._real_ms() + back_off_ms(self._book.tries(month))
            self._book.failed(month, claim, str(error), again_ms)
            self._complain(f"the report of {month} can't be sent: {error}; trying again")
            return False
        self._book.sent(month, claim, self._real_ms(), refused)
        log.info("the report of %s was sent to %s", month, ", ".join(email.to))
        self._failing = False
        return True

    def _made(self, first: date, now_ms: int) -> tuple[Email, EmailMessage]:
        facts = gather(self._ledger, self._config, first, now_ms)
        email = self._email()
        with TemporaryDirectory(prefix="tidewatt-report-") as folder:
            files = []
            for kind in self._config.reports.formats:
                files.append(Path(folder) / file_name(facts, kind))
                write(facts, self._ledger, kind, files[-1])
            return email, letter(email, facts, document(facts), files, self._real_ms())

    def _email(self) -> Email:
        settings = self._config.reports
        email = next(one for one in self._config.alerts.email if one.name == settings.email)
        return msgspec.structs.replace(email, to=settings.to or email.to)

    def _complain(self, sentence: str) -> None:
        if not self._failing:
            log.error("%s", sentence)
        self._failing = True
