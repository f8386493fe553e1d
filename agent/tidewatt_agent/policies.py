"""The policy in force on this device, and the answers to every policy set that comes.

A set is accepted (verified, on the disk), then applied by the first tick that decides under it, or
pending_reboot while what it asks needs a reboot. A refused one leaves the last good set as it is. Past its
time a set decays to the built-in policy until a newer one heals it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tidewatt_agent.admission import SetRefused, is_over, judge, read_set
from tidewatt_agent.answers import Answers
from tidewatt_agent.policyfile import KeptPolicy, PolicyFile
from tidewatt_governor.policy import member, resolve
from tidewatt_wire.messages import Ack, AckStatus, Policy, PolicySet, RefusalCode, TrustedKey

log = logging.getLogger(__name__)

#: How far the set in force has come.
Progress = Literal["accepted", "applied", "pending_reboot"]


class Held(msgspec.Struct, frozen=True):
    """A set that was verified, and the very bytes that were."""

    policies: PolicySet
    envelope: bytes


class Policies:
    """Holds the last good policy set; an older, foreign or broken one leaves it as it is."""

    def __init__(
        self,
        fleet: str,
        device: str,
        labels: Mapping[str, str],
        keys: Sequence[TrustedKey] = (),
        file: PolicyFile | None = None,
    ) -> None:
        """`keys`: the configured ones; with none every set is refused."""
        self._fleet, self._device, self._labels = fleet, device, dict(labels)
        self._configured, self._trusted = list(keys), list(keys)
        self._file = file or PolicyFile(None)
        self._current: Held | None = None
        self._waiting: Held | None = None
        self._progress: Progress = "accepted"
        self.policy = Policy()
        self.expired = False
        """Whether the set in force has outlived its time: the built-in default is in force."""
        self.acks = Answers()
        self.refused: Counter[RefusalCode] = Counter()
        self.refusal: Ack | None = None
        """The last refusal, until a set is accepted."""

    @property
    def revision(self) -> int:
        """Of the set that was accepted last; 0 until one was: the built-in default is in force."""
        return self._current.policies.revision if self._current else 0

    @property
    def trusted(self) -> list[TrustedKey]:
        """The keys that are believed now."""
        return list(self._trusted)

    @property
    def accepted(self) -> PolicySet | None:
        """The set that was accepted last."""
        return self._current.policies if self._current else None

    @property
    def rollout(self) -> str | None:
        """The rollout in the set that was accepted last."""
        held = self.accepted
        return held.rollout.id if held and held.rollout else None

    @property
    def member(self) -> bool | None:
        """Whether that rollout's rules hold for this device; None without one."""
        held = self.accepted
        return member(held.rollout, self._device, self._labels) if held and held.rollout else None

    def load(self) -> None:
        """Take the kept set, verified again; what doesn't stand that is left, and one log line says why."""
        kept = self._file.load()
        if kept is None:
            return
        # Who changed the configured keys has set the trust anew.
        same = kept.configured == [key.public for key in self._configured]
        trusted = kept.keys if same else self._configured
        try:
            if kept.current is not None:
                held = read_set(kept.current, trusted, self._fleet)
                self._current = Held(held, kept.current)
                self.policy = resolve(held, self._device, self._labels)
                log.info("policy revision %d is in force, as kept", held.revision)
            if kept.waiting is not None:
                self._waiting = Held(read_set(kept.waiting, trusted, self._fleet), kept.waiting)
            self._trusted = trusted
        except ValueError as error:  # refused; or a kept key that is none
            log.error("the kept policy set is not used: %s", error)  # noqa: TRY400

    async def offer(self, envelope: bytes, at_ms: int) -> None:
        """Take the policy set or refuse it, and put the answer among those that wait."""
        try:
            offered = Held(read_set(envelope, self._trusted, self._fleet), envelope)
            if self._is_known(offered.policies.revision, at_ms):
                return
            self._judge(offered, self._newest, at_ms)
        except SetRefused as refused:
            if refused.code == "not_yet":
                await self._keep(self._current, offered, self._trusted)
                self._waiting = offered
            self._refuse(refused, at_ms)
            return
        why_not = await self._keep(offered, None, offered.policies.keys or self._trusted)
        self._take(offered, at_ms, f"it does not outlive a restart: {why_not}" if why_not else "")

    def at(self, at_ms: int) -> Policy:
        """The policy at this time: one whose time has come is taken, one whose time is over decays."""
        waiting = self._waiting
        if waiting and waiting.policies.not_before_ms <= at_ms:
            self._waiting = None
            try:
                self._judge(waiting, self.revision, at_ms)
            except SetRefused as refused:
                self._refuse(refused, at_ms)
            else:
                # Nothing is written: after a restart it is found waiting, and taken again.
                self._take(waiting, at_ms)
        if self._current and is_over(self._current.policies, at_ms) != self.expired:
            self._turn(self._current.policies, at_ms)
        return self.policy

    def decided(self, revision: int, at_ms: int, *, needs_reboot: bool) -> None:
        """A tick has decided under the set of that revision; whether what it asks needs a reboot."""
        progress: Progress = "pending_reboot" if needs_reboot else "applied"
        # Once applied it stays so: the traffic may ask for more later than the policy did.
        if revision == self.revision > 0 and not self.expired and self._progress not in ("applied", progress):
            self._progress = progress
            self._say(progress, at_ms)

    @property
    def _newest(self) -> int:
        return max(self.revision, self._waiting.policies.revision if self._waiting else 0)

    def _is_known(self, revision: int, at_ms: int) -> bool:
        """Whether it is the one that is in force or waits; a refusal in between is taken back."""
        if self._waiting and revision == self._waiting.policies.revision:
            return True
        if self._current is None or revision != self.revision:
            return False
        if self.refusal and not self.expired:
            self.refusal = None
            self._say(self._progress, at_ms)
        return True

    def _judge(self, held: Held, newest: int, at_ms: int) -> Policy:
        return judge(held.policies, held.envelope, newest, self._device, self._labels, at_ms)

    async def _keep(self, current: Held | None, waiting: Held | None, keys: list[TrustedKey]) -> str:
        kept = KeptPolicy(
            configured=[key.public for key in self._configured],
            keys=keys,
            current=current.envelope if current else None,
            waiting=waiting.envelope if waiting else None,
        )
        return await asyncio.to_thread(self._file.keep, kept)

    def _take(self, held: Held, at_ms: int, reason: str = "") -> None:
        if self._current and self._progress != "applied" and not self.expired:
            self._say("superseded", at_ms, f"by revision {held.policies.revision}")
        self._current, self._waiting = held, None
        self._trusted = held.policies.keys or self._trusted
        self.policy = resolve(held.policies, self._device, self._labels)
        self._progress, self.expired, self.refusal = "accepted", False, None
        log.info("policy revision %d is in force", held.policies.revision)
        self._say("accepted", at_ms, reason)

    def _turn(self, held: PolicySet, at_ms: int) -> None:
        """Its time is over; or was over by a clock that has been set back since."""
        self.expired = not self.expired
        if self.expired:
            self.policy = Policy()
            why = f"revision {held.revision} has outlived its time: the built-in policy is in force"
            self._refuse(SetRefused("expired", why, held.revision), at_ms)
        else:
            self.policy = resolve(held, self._device, self._labels)
            self._progress, self.refusal = "accepted", None
            log.warning("the clock was set back: policy revision %d is in force again", held.revision)

    def _refuse(self, refused: SetRefused, at_ms: int) -> None:
        self.refused[refused.code] += 1
        log.warning("policy set refused: %s: %s", refused.code, refused)
        self.refusal = Ack(
            device=self._device,
            revision=self.revision if refused.revision is None else refused.revision,
            status="refused",
            at_ms=at_ms,
            reason=str(refused),
            code=refused.code,
        )
        self.acks.put(self.refusal)

    def _say(self, status: AckStatus, at_ms: int, reason: str = "") -> None:
        self.acks.put(
            Ack(
                device=self._device,
                revision=self.revision,
                status=status,
                at_ms=at_ms,
                reason=reason,
                rollout=self.rollout,
                member=self.member,
            )
        )
