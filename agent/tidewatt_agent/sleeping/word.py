"""The board's word on its sleep, signed with the key of the certificate by which it connects."""

import logging
from pathlib import Path

from tidewatt_wire.brokers import Credentials
from tidewatt_wire.codec import encode
from tidewatt_wire.sleeping import SleepState, signed_word

log = logging.getLogger(__name__)


class Words:
    """`sealed` is asked for each word. Files are read anew for each, so a renewed certificate is taken up."""

    def __init__(self, shown: Credentials) -> None:
        """`shown`: what is shown to the broker."""
        self._shown = shown
        self._failing = ""

    def sealed(self, state: SleepState) -> bytes:
        """The word as it is sent: signed, where there is a certificate whose key can sign. Reads files.

        Without a signature it is said all the same: a coordinator that does not believe it lets the board
        sleep no more. Only the first failure is news.
        """
        if not self._shown.certificate:
            return encode(state)
        try:
            certificate = Path(self._shown.certificate).read_bytes()
            key = Path(self._shown.key).read_bytes() if self._shown.key else certificate
            state = signed_word(state, certificate, key)
        except (OSError, ValueError) as error:
            if str(error) != self._failing:
                log.warning("the word on this board's sleep can't be signed by link.certificate: %s", error)
            self._failing = str(error)
        else:
            self._failing = ""
        return encode(state)
