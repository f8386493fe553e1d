"""Which words of boards on their sleep are believed: those that the board has signed, where it can be known.

The broker isn't trusted: without this it could make a board that is dead look asleep (ADR 0030).
"""

import logging
import time
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from tidewatt_coordinator.config import Config, device_ca
from tidewatt_coordinator.pki.devicetrust import DeviceTrust
from tidewatt_coordinator.pki.folder import REVOKED
from tidewatt_coordinator.pki.register import Register
from tidewatt_wire.certified import certificate_in
from tidewatt_wire.codec import RefusalReason, Refused
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.sleeping import SleepState, word_in

log = logging.getLogger(__name__)


class SleepWords:
    """`believed` is asked of every word."""

    def __init__(self, trust: DeviceTrust | None = None, *, unsigned: bool = True) -> None:
        """`trust`: whose certificates are devices'; None: nobody knows, and words go by what they say.

        `unsigned`: whether words without a signature are believed, too.
        """
        self.trust, self._unsigned = trust, unsigned

    def believed(self, device: str, said: SleepState) -> SleepState:
        """What is to be believed of what came on this device's topic; Refused."""
        if self.trust is None:
            return msgspec.structs.replace(said, signed=msgspec.UNSET)
        if isinstance(said.signed, msgspec.UnsetType):
            if self._unsigned:
                return said
            raise Refused(
                RefusalReason.UNSIGNED,
                f"the word of {device} on its sleep isn't signed: its agent is older, or its broker lies; "
                'while agents are upgraded, sleep.words = "any" believes such words',
            )
        certificate = certificate_in(said.signed)
        self.trust.check(certificate, device)
        state = word_in(said.signed, certificate)
        if state.device != device:
            raise Refused(
                RefusalReason.WRONG_TOPIC, f"{device} signed a word of {state.device!r}, which it isn't"
            )
        return state


def trusted_files(config: Config) -> tuple[str, str]:
    """The files of devices' CAs and of what these revoked; empty where there is none."""
    kept = Path(config.enroll.folder) / REVOKED
    if config.sleep.revoked or not (config.enroll.listen and kept.exists()):
        return device_ca(config), config.sleep.revoked
    return device_ca(config), str(kept)


def sleep_words(config: Config, engine: Engine) -> SleepWords:
    """As configured. DocumentError or OSError where a file named in [sleep] can't be used."""
    ca, revoked = trusted_files(config)
    if not ca:
        return SleepWords()
    # Real time, whatever the fleet's is: certificates live in it.
    trust = DeviceTrust(ca, revoked, Register(engine), lambda: round(time.time() * 1000))
    if config.sleep.ca or config.sleep.revoked:
        try:
            trust.read()
        except ValueError as error:
            raise DocumentError(f"[sleep]: {error}") from error
    else:  # the broker's connection, or the door, says what is wrong with these
        trust.look()
    unsigned = config.sleep.words == "any"
    log.info("boards' words on their sleep: signed by %s%s", ca, ", and unsigned ones" if unsigned else "")
    return SleepWords(trust, unsigned=unsigned)
