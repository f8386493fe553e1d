"""Faults of what a device keeps and knows: its disk, its clock, its certificate."""

import contextlib
import datetime as dt

from tests.chaos.kills import back
from tests.chaos.kinds import AGENTS, Fault, Undo, choice, part
from tests.chaos.mounts import remount
from tests.chaos.schedule import Step
from tests.chaos.site import DEVICES, Site
from tests.secured import now

BLOCK = bytes(65_536)
#: Seconds of a device's own: behind by the spool's keeping, ahead by more than is believed.
MOST_BEHIND_S, MOST_AHEAD_S = 40 * 86_400.0, 3 * 86_400.0


def full(site: Site, step: Step) -> Undo:
    filler = site.state(step.target) / "filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(BLOCK)
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")  # the last page, too
    return lambda: filler.unlink(missing_ok=True)


def read_only(site: Site, step: Step) -> Undo:
    """As after a reboot with a file system that has errors. It is writable again while the agent runs."""
    unit, state = site.units[f"{step.target}.agent"], site.state(step.target)
    unit.kill()
    remount(state, "ro")
    back(site, unit.name)
    return lambda: remount(state, "rw")


def clock_off(site: Site, step: Step) -> Undo:
    """It comes up with a wrong clock, as a board without a battery does, and is set right by a restart."""
    device = step.target.partition(".")[0]
    site.units[step.target].kill()
    site.off_s[device] = step.amount * (MOST_BEHIND_S + MOST_AHEAD_S) - MOST_BEHIND_S
    back(site, step.target)

    def right() -> None:
        del site.off_s[device]
        site.units[step.target].kill()
        back(site, step.target)

    return right


def certificate_ended(site: Site, step: Step) -> Undo:
    """The device's certificate is over, and the broker lets it in no more; then it has a new one."""
    pki = site.secured.pki
    pki.certificate("device", step.target, at=now() - dt.timedelta(days=30))
    site.lines.cut(site.lines.by_name[f"{step.target}.broker"])

    def renewed() -> None:
        pki.certificate("device", step.target)

    return renewed


def broker_certificate_ended(site: Site, step: Step) -> Undo:
    """The broker's certificate is over: everybody refuses it, until it has a new one and begins again."""
    broker = site.secured
    broker.kill()
    broker.serve_as("127.0.0.1", "localhost", at=now() - dt.timedelta(days=30))
    broker.start()

    def renewed() -> None:
        broker.kill()
        broker.serve_as("127.0.0.1", "localhost")
        broker.start()

    return renewed


#: Only where devices have disks of their own (`mounts.mounted`).
DISKS: dict[str, Fault] = {
    "disk full": Fault(choice(DEVICES, longest_s=8.0), full, part("disk")),
    "disk read-only": Fault(choice(DEVICES, longest_s=6.0), read_only, part("disk")),
}  # fmt: skip
FAULTS: dict[str, Fault] = {
    "clock off": Fault(choice(AGENTS, longest_s=5.0), clock_off),
    "certificate ended": Fault(choice(DEVICES, longest_s=6.0), certificate_ended, part("certificate")),
    "broker's certificate ended": Fault(choice(["broker"], 0.5, 4.0), broker_certificate_ended),
}  # fmt: skip
