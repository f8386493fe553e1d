"""The policy set on its topic: signed, retained, and put back whenever something else stands there.

Devices refuse what is forged or old; but what is retained is all that a device gets that comes
back, so a foreign set would keep it from the true one. The publisher hears its own topic and
says the set again: soon at first, then ever more slowly while somebody goes on.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

import aiomqtt

from tidewatt_wire.codec import Refused, decode, encode
from tidewatt_wire.messages import PolicySet
from tidewatt_wire.signing import EnvelopeRefused, Signer, open_envelope, seal
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

#: Real seconds between two looks at what is to stand there.
LOOK_EVERY_S = 0.2
#: Real seconds that the broker may take to show us our own word.
ECHO_S = 1.0
#: Real seconds between two replies to somebody who doesn't stop: each goes to the whole fleet.
LONGEST_S = 60.0
NO_KEY = "no policy is published, as no key is there to sign it with: `tidewatt keys new` makes one"


class PolicyTopic:
    """One fleet's policy topic. `keep` and `listen` share a connection and never end by themselves."""

    def __init__(
        self,
        current: Callable[[], PolicySet],
        may_publish: Callable[[], bool],
        signers: Callable[[], Sequence[Signer]],
    ) -> None:
        """`signers`: the keys to sign with, asked at every look; with none nothing is published."""
        self._current, self._may_publish, self._signers = current, may_publish, signers
        self._obstacle = ""
        self._stands: bytes | None = None
        """What was heard last; None: nothing yet on this connection."""
        self._said, self._said_s, self._patience_s = b"", 0.0, ECHO_S
        self.found = 0
        """The newest revision under our own keys that stood on the topic when we came to it."""
        self.displaced: Counter[str] = Counter()
        """Times that something else stood there and ours was put back, by what it was."""

    async def keep(self, client: aiomqtt.Client, fleet: str) -> None:
        """Have the broker hold the set that stands."""
        topic = str(FleetTopic(fleet, "policy"))
        self._stands, self._said = None, b""
        await client.subscribe(topic, qos=1)
        published: tuple[object, ...] = ()
        while True:
            policies, signers = self._current(), self._keys()
            wanted = (policies.revision, *(one.id for one in signers))
            if not self._may_publish():
                # Whoever publishes now may have published an older one late: say it again after.
                published, self._said = (), b""
            elif signers and (wanted != published or self._is_displaced(policies, signers)):
                self._said = self._seal(policies, signers)
                if self._said:
                    await client.publish(topic, self._said, qos=1, retain=True)
                    self._said_s = time.monotonic()
                published = wanted
            await asyncio.sleep(LOOK_EVERY_S)

    async def listen(self, client: aiomqtt.Client) -> None:
        """Hear what stands on the topic."""
        async for message in client.messages:
            self._stands = bytes(message.payload)
            if message.retain:
                set_of_ours = read(self._stands, self._keys(), self._current().fleet)
                self.found = max(self.found, set_of_ours.revision if set_of_ours else 0)

    def _is_displaced(self, policies: PolicySet, signers: Sequence[Signer]) -> bool:
        """Whether something else stands there than what was said last, long enough ago to be heard."""
        stands, quiet_s = self._stands, time.monotonic() - self._said_s
        if quiet_s > LONGEST_S:
            self._patience_s = ECHO_S
        if stands is None or not self._said or stands == self._said or quiet_s < self._patience_s:
            return False
        self._patience_s = min(LONGEST_S, 2 * self._patience_s)
        what, sentence = stranger(stands, signers, policies)
        self.displaced[what] += 1
        log.warning("policy: %s stood on the topic; revision %d is put back", sentence, policies.revision)
        return True

    def _keys(self) -> Sequence[Signer]:
        try:
            signers = self._signers()
        except (OSError, ValueError) as error:
            self._say(f"no policy is published: {error}")
            return ()
        self._say("" if signers else NO_KEY)
        return signers

    def _seal(self, policies: PolicySet, signers: Sequence[Signer]) -> bytes:
        try:
            return seal(encode(policies), signers)
        except ValueError as error:
            log.error("policy revision %d is not published: %s", policies.revision, error)  # noqa: TRY400
            return b""

    def _say(self, obstacle: str) -> None:
        if obstacle and obstacle != self._obstacle:
            log.error("%s", obstacle)
        elif self._obstacle and not obstacle:
            log.warning("policies are signed and published again")
        self._obstacle = obstacle


def read(payload: bytes, signers: Sequence[Signer], fleet: str) -> PolicySet | None:
    """The set, if it is this fleet's and one of these keys signed it."""
    try:
        found = decode(PolicySet, open_envelope(payload, [one.trusted for one in signers]))
    except (EnvelopeRefused, Refused):
        return None
    return found if found.fleet == fleet else None


def stranger(payload: bytes, signers: Sequence[Signer], current: PolicySet) -> tuple[str, str]:
    """What a set is that is not `current`: a word to count, and a sentence's beginning."""
    if not payload:
        return "cleared", "nothing"
    found = read(payload, signers, current.fleet)
    if found is None:
        return "foreign", "a foreign set"
    older = found.revision < current.revision
    return "older_revision" if older else "other", f"a set of ours of revision {found.revision}"
