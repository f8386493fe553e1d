"""The next certificate, asked for when two thirds of the present one's life are over."""

import asyncio
import datetime as dt
import logging
import random
from pathlib import Path

from tidewatt_agent.config import Link, https_url
from tidewatt_agent.enrolling.door import ask
from tidewatt_agent.enrolling.identity import (
    Identity,
    answered,
    keep,
    new_key,
    read_identity,
    signing_request,
)
from tidewatt_link.connection import CannotConnect, trusting
from tidewatt_wire.clock import Clock
from tidewatt_wire.enrolment import RENEW, RenewRequest
from tidewatt_wire.units import MILLISECONDS_PER_SECOND

log = logging.getLogger(__name__)

#: Real seconds between two looks; with chance in it, so that a fleet doesn't ask all at once.
LOOK_EVERY_S = 1800.0


def renew(link: Link) -> Identity:
    """Ask for the next certificate now and keep it in the place of the present one.

    Raises OSError or ValueError with one sentence; then the present one stands.
    """
    present = read_identity(link.certificate)
    key = new_key()
    csr = signing_request(present.device, key)
    request = RenewRequest(
        certificate=present.pem().decode().partition("-----BEGIN PRIVATE")[0],
        csr=csr,
        signature=present.sign(csr),
    )
    try:
        tls = trusting(link.ca, "link.ca")
    except CannotConnect as error:
        raise ValueError(str(error)) from error
    following = answered(ask(https_url(link.renew, "link.renew"), RENEW, request, tls), present.device, key)
    keep(Path(link.certificate), following.pem(), 0o600)
    return following


class Renewal:
    """Keeps the certificate fresh. The link takes up the new one with its next connection."""

    def __init__(self, link: Link, clock: Clock) -> None:
        """`clock` is the machine's own: TLS lives in real time."""
        self._link, self._clock = link, clock
        self._failing = False

    async def keep(self) -> None:
        """Look at the certificate now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.0, 1.0))  # noqa: S311 - no secret
            await asyncio.to_thread(self.look)

    def look(self) -> bool:
        """Renew the certificate if it is time, and say whether there is a new one. Raises nothing."""
        now = dt.datetime.fromtimestamp(self._clock.now_ms() / MILLISECONDS_PER_SECOND, dt.timezone.utc)
        try:
            if now < read_identity(self._link.certificate).renew_at:
                return False
            following = renew(self._link)
        except (OSError, ValueError) as error:
            # A third of its life is left for somebody to see this; only the first failure is news.
            if not self._failing:
                log.warning("link.certificate can't be renewed: %s", error)
            self._failing = True
            return False
        log.info("link.certificate renewed, good until %s", following.certificate.not_valid_after_utc)
        self._failing = False
        return True
