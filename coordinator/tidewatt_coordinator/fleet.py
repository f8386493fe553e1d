"""The fleet as it stands: births, last reports, wills and acks, by device. A view, not a truth:
money and energy are the ledger's.

What is the newest goes by sessions and numbers, and else by the order of coming, never by the
devices' clocks: one that was set back would hide all that follows.
"""

import struct
from collections.abc import Mapping
from operator import itemgetter
from typing import Literal

import msgspec

from tidewatt_coordinator.ledger.baselines import DeviceModel
from tidewatt_coordinator.sharing import Shared
from tidewatt_coordinator.skew import Skew, noted, sentence
from tidewatt_coordinator.steering.edge import Known
from tidewatt_governor.policy import resolve
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import Ack, Birth, PolicySet, Report, Will
from tidewatt_wire.sleeping import SleepState

#: Asleep by its own word, until then; overdue: it should have been back.
Status = Literal["online", "silent", "stopped", "lost", "asleep", "overdue"]

#: Sessions that are over, remembered per device: what of theirs comes late is not news.
MOST_PAST = 16
#: A report as it came is kept up to this length; of a longer one what we can read of it.
MOST_TOLD = 2048

#: A number, and the length of the text that follows.
_HEAD = struct.Struct("=qI")


class Device(msgspec.Struct, kw_only=True, gc=False):
    """What is known of one device; each message replaces the one of its kind.

    Of a million devices every object counts, so most of it is packed.
    """

    name: str
    kind: Birth | None = None
    """Its birth without what is its alone: one object for all that are alike."""
    own: bytes = b""
    """What of its birth is its own, packed."""
    told: bytes | None = None
    """Its last report as it came: a third of the memory that it takes when it is read."""
    heard: bytes = b""
    """The last report's number and session, and the clock's skews, packed."""
    missed: int = 0
    """Reports of its runs whose numbers were passed over: given up on the way, or later than a newer one."""
    late: int = 0
    """Reports that came after a newer one of their run."""
    will: Will | None = None
    ack: Ack | None = None
    sleep: SleepState | None = None
    """Its own word on its sleep, the newest that was believed."""
    unproven: str | None = None
    """Why a newer one was not; None if there is none."""
    spoke: tuple[str, ...] = ()
    """Sessions of such words before the last one's; births, which anybody might forge, add none."""
    heard_ms: int = 0
    """When it was last heard, by the coordinator's clock: devices' clocks may be far off."""
    refused: str | None = None
    """Why its last report was not taken; None if it was."""
    past: tuple[str, ...] = ()
    """Sessions that are over, of connections and of runs."""

    @property
    def birth(self) -> Birth | None:
        """Who it said it is, made anew each time."""
        kind = self.kind
        if kind is None:
            return None
        at_ms, length = _HEAD.unpack_from(self.own)
        cut = _HEAD.size + length
        return msgspec.structs.replace(
            kind,
            device=self.name,
            at_ms=at_ms,
            session=_text(self.own[_HEAD.size : cut]),
            epoch=_text(self.own[cut:]),
        )

    @birth.setter
    def birth(self, birth: Birth) -> None:
        session = _bytes(birth.session)
        self.own = _HEAD.pack(birth.at_ms, len(session)) + session + _bytes(birth.epoch)
        self.kind = msgspec.structs.replace(birth, device="", at_ms=0, session="", epoch="")

    @property
    def born_in(self) -> str | None:
        """The session of its birth."""
        if self.kind is None:
            return None
        return _text(self.own[_HEAD.size : _HEAD.size + _HEAD.unpack_from(self.own)[1]])

    @property
    def report(self) -> Report | None:
        """Its last report, read anew each time."""
        told = self.told
        return None if told is None else decode(Report, told)

    @property
    def session(self) -> str:
        """Of its last report: one run of the agent; empty before any."""
        heard = self.heard
        return _text(heard[_HEAD.size : _HEAD.size + _HEAD.unpack_from(heard)[1]]) if heard else ""

    @property
    def seq(self) -> int:
        """Of its last report; -1 before any."""
        return int(_HEAD.unpack_from(self.heard)[0]) if self.heard else -1

    @property
    def skew(self) -> Skew:
        """How far its clock is off."""
        heard = self.heard
        return Skew(heard[_HEAD.size + _HEAD.unpack_from(heard)[1] :] if heard else b"")

    def left(self, session: str) -> None:
        """A session is over."""
        self.past = (*self.past[1 - MOST_PAST :], session)

    def status(self, now_ms: int, stale_after_ms: int) -> Status:
        """Online, silent (no report for too long), stopped (its own word) or lost (the broker's).

        Asleep (its own word) comes before these, until it is overdue; a new birth ends both.
        """
        if self.sleep and self.sleep.state == "asleep" and self._in(self.sleep.session):
            return "asleep" if now_ms <= (self.sleep.expires_at_ms or 0) else "overdue"
        if self.will and self._in(self.will.session):
            return _ended(self.will)
        return "online" if now_ms - self.heard_ms <= stale_after_ms else "silent"

    def _in(self, session: str) -> bool:
        return self.kind is None or self.born_in == session


def _ended(will: Will) -> Status:
    return "stopped" if will.cause == "stopped" else "lost"


class Fleet:
    """All devices. Messages may come in any order; the newest of a session wins."""

    def __init__(self, stale_after_ms: int) -> None:
        self.devices: dict[str, Device] = {}
        self.stale_after_ms = stale_after_ms
        self._shared = Shared()
        self.dealt = False
        """Whether others hear a part of the reports: a number that isn't heard here is no gap."""

    def born(self, birth: Birth, now_ms: int) -> None:
        """A device's session began."""
        device = self._device(birth.device)
        device.heard_ms = max(device.heard_ms, now_ms)
        before = device.born_in
        if before is not None and before != birth.session:
            if birth.session in device.past or (device.will and device.will.session == birth.session):
                return  # a session that was over before the one that is known began
            device.left(before)
        device.birth = birth
        if device.kind:
            device.kind = self._shared.birth(device.kind)

    def reported(
        self, report: Report, now_ms: int, *, replayed: bool = False, told: bytes | None = None
    ) -> None:
        """A device reported; `replayed`: what it tells is the past, kept till now. `told`: as it came."""
        device = self.devices.get(report.device) or self._device(report.device)
        device.heard_ms = max(device.heard_ms, now_ms)
        session, before, before_in, pairs, heard = _bytes(report.session), -1, b"", b"", device.heard
        if heard:
            before, length = _HEAD.unpack_from(heard)
            cut = _HEAD.size + length
            before_in, pairs = heard[_HEAD.size : cut], heard[cut:]
        if session == before_in:
            passed = report.seq - before
            if self.dealt:
                pass
            elif passed < 0:
                device.late += 1
            elif passed > 1 and not replayed:
                device.missed += passed - 1
            newer = passed > 0
        else:
            newer = device.told is None or report.session not in device.past
        if replayed or not newer:
            return
        if before_in and session != before_in:
            device.left(_text(before_in))
        device.refused = None
        device.told = told if told is not None and len(told) <= MOST_TOLD else encode(report)
        pairs = noted(pairs, report.at_ms, now_ms)
        device.heard = _HEAD.pack(report.seq, len(session)) + session + pairs

    def relayed(self, name: str, report: Report | None, heard_ms: int, refused: str | None) -> None:
        """Another coordinator that shares the reports heard this of a device, at that moment."""
        device = self._device(name)
        if refused and heard_ms >= device.heard_ms:
            device.refused = refused
        device.heard_ms = max(device.heard_ms, heard_ms)
        if report and (refused is None or device.report is None):
            self.reported(report, heard_ms)

    def not_believed(self, report: Report, now_ms: int) -> None:
        """A device reported from too far in the future to be taken: it stays in sight, with the reason."""
        device = self._device(report.device)
        device.heard_ms = max(device.heard_ms, now_ms)
        heard = device.heard or _HEAD.pack(-1, 0)
        cut = _HEAD.size + _HEAD.unpack_from(heard)[1]
        device.heard = heard[:cut] + noted(heard[cut:], report.at_ms, now_ms)
        device.refused = (
            f"its clock is {sentence(report.at_ms - now_ms)}: reports are not taken until it is set"
        )

    def ended(self, will: Will) -> None:
        """A device's session ended."""
        self._device(will.device).will = will

    def slumbered(self, state: SleepState, *, numbered: bool = True) -> bool:
        """A device fell asleep, or said what it is about its sleep; False: that is the past, said again.

        `numbered`: within a session its times only grow, whatever its clock does, as who signs them promises.
        """
        device = self._device(state.device)
        known = device.sleep
        if state.session in device.past or state.session in device.spoke:
            return False
        if known and known.session != state.session:
            device.spoke = (*device.spoke[1 - MOST_PAST :], known.session)
        elif known and numbered and state.at_ms < known.at_ms:
            return False
        device.sleep, device.unproven = state, None
        return True

    def unproven(self, name: str, why: str) -> None:
        """What came as a device's word on its sleep is not believed; what it said before stands."""
        if device := self.devices.get(name):
            device.unproven = why

    def acknowledged(self, ack: Ack) -> None:
        """A device answered a policy set."""
        self._device(ack.device).ack = ack

    def known(self) -> list[tuple[str, Device]]:
        """All devices by name; a copy, because the API reads from other threads."""
        return sorted(self.devices.items(), key=itemgetter(0))

    def status(self, name: str, now_ms: int) -> Status:
        """A device's status; KeyError if it is unknown."""
        return self.devices[name].status(now_ms, self.stale_after_ms)

    def model(self, policies: PolicySet, name: str) -> DeviceModel | None:
        """What a device said it can do, with the promise it is under; None if it hasn't said so."""
        device = self.devices.get(name)
        birth = device.birth if device else None
        if birth is None or not birth.points:
            return None
        return DeviceModel(
            birth.points,
            birth.vendor_default or birth.points[0].name,
            resolve(policies, name, birth.labels).slo_p95_ms,
        )

    def sites(self) -> dict[str, str]:
        """The label `site` of every device that has said who it is; empty where it has none."""
        return {name: birth.labels.get("site", "") for name, birth in self._births().items()}

    def able(self, policies: PolicySet, now_ms: int) -> list[Known]:
        """The devices that can be sent traffic now."""
        return [
            Known(
                name,
                birth,
                resolve(policies, name, birth.labels),
                max(0, now_ms - self.devices[name].heard_ms) / 1000.0,
            )
            for name, birth in self._births().items()
            if birth.points and self.status(name, now_ms) == "online"
        ]

    def resting(self, policies: PolicySet, now_ms: int) -> list[Known]:
        """The devices that sleep by their own word, or should be back from that by now."""
        return [
            Known(
                name,
                birth,
                resolve(policies, name, birth.labels),
                max(0, now_ms - self.devices[name].heard_ms) / 1000.0,
            )
            for name, birth in self._births().items()
            if birth.points and self.status(name, now_ms) in ("asleep", "overdue")
        ]

    def rates(self, now_ms: int) -> list[float]:
        """The requests/s that online devices last reported; none of a device that didn't measure them."""
        reports = [
            device.report
            for _, device in self.known()
            if device.told and device.status(now_ms, self.stale_after_ms) == "online"
        ]
        rates = [report.gauges.requests_rps for report in reports if report]
        return [rate for rate in rates if rate is not None]

    def _births(self) -> Mapping[str, Birth]:
        return {name: device.birth for name, device in self.known() if device.birth}

    def _device(self, name: str) -> Device:
        return self.devices.get(name) or self.devices.setdefault(name, Device(name=name))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _text(some: bytes) -> str:
    return some.decode(errors="surrogatepass")
