"""A mode that only a reboot can bring: planned, kept on file, asked for once, and looked at after the boot.

Nobody answers nvpmodel's prompt. Instead its status file is made to name the mode, as NVIDIA's service
applies that at boot, and the machine is asked to reboot in the usual way, which stops every service.

    planned --ask--> asked --boot--> reached | missed
       |               |
       +- any boot     +- no boot: the files are put back, as if nothing had been asked

Each step is on the disk before it is taken. A mode that was missed is not tried again until a person
says so, or the board would reboot every night.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from tidewatt_agent.actuator import onfile
from tidewatt_agent.actuator.plan import MASKS, wanted
from tidewatt_agent.actuator.tool import STATUS, run_command
from tidewatt_agent.nvpmodel import PowerModes
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_link.durable import FilePath, read_file, remove_file, replace_file

log = logging.getLogger(__name__)

BOOT_ID = "proc/sys/kernel/random/boot_id"
TIMEOUT_S = 20.0
#: What isn't the kernel's is a file that outlives the boot: Thor keeps its GPU mask in one.
KERNEL = ("sys/", "proc/", "dev/")

Stage = Literal["planned", "asked", "reached", "missed"]
Files = Mapping[str, str | None]
"""Text by path; None is a file that wasn't there."""
NO_FILES: Files = MappingProxyType({})


class RebootRefusedError(ValueError):
    """A reboot is not planned, or not asked for; the sentence says why."""


class Plan(NamedTuple):
    """One planned reboot. Files by path, with their text; null is a file that wasn't there."""

    to: int
    boot: str
    """The boot that it was planned in."""
    stage: Stage
    seen: bool = False
    """Whether the agent has taken note of how it ended."""
    before: Files = NO_FILES
    """The files as they were before this plan."""
    original: Files = NO_FILES
    """As they were before the first plan of all: what removal puts back."""


_FILES = onfile.each_by_name(onfile.optional(onfile.text))
FIELDS: onfile.Fields = {
    "to": onfile.integer,
    "boot": onfile.text,
    "stage": onfile.one_of("planned", "asked", "reached", "missed"),
    "seen": onfile.truth,
    "before": _FILES,
    "original": _FILES,
}
NEEDED = ("to", "boot", "stage")


class Reboots:
    """The plan on file, and the one place that asks for a reboot."""

    def __init__(self, tree: Tree, path: FilePath, command: Sequence[str] = ()) -> None:
        """`command`: what reboots the machine; empty: nothing may."""
        self._tree, self._path, self._command = tree, path, list(command)

    def load(self) -> Plan | None:
        """The plan on file, if there is one. A file that is none is put aside."""
        try:
            return Plan(**onfile.read(read_file(self._path), FIELDS, needed=NEEDED))
        except FileNotFoundError:
            return None
        except ValueError as error:
            path = os.fspath(self._path)
            aside = f"{path.removesuffix('.json')}.unreadable"
            log.error("%s can't be read (%s): put aside as %s", path, error, aside)  # noqa: TRY400
            os.replace(path, aside)  # noqa: PTH105
            return None

    def wake(self, standing: Sequence[int]) -> Plan | None:
        """What became of the plan, at the actuator's start; `standing`: the modes that fit the board."""
        plan = self.load()
        if plan is None or plan.stage in ("reached", "missed"):
            return plan
        if plan.stage == "planned" or plan.boot == self._boot():
            self.cancel()
            return None
        stage: Stage = "reached" if plan.to in standing else "missed"
        if stage == "missed":
            self._write(plan.before)
        plan = plan._replace(stage=stage)
        self._keep(plan)
        return plan

    def plan(self, mode_id: int) -> None:
        """Put it on file; nothing else changes yet. Raises RebootRefusedError."""
        if not self._command:
            raise RebootRefusedError("this actuator may not reboot the board (start it with --allow-reboot)")
        if not self._boot():
            raise RebootRefusedError(f"/{BOOT_ID} can't be read: a boot could not be told from the next")
        last = self.load()
        if last and last.stage == "asked":
            raise RebootRefusedError(f"a reboot into mode {last.to} is under way")
        if last and last.stage == "missed" and last.to == mode_id:
            raise RebootRefusedError(
                f"the last reboot did not bring mode {mode_id}; `tidewatt-actuator restore --boot-mode` "
                "lets it be tried again"
            )
        original = last.original if last and last.stage == "reached" else {}
        self._keep(Plan(to=mode_id, boot=self._boot(), stage="planned", original=original))

    def planned(self, mode_id: int) -> Plan:
        """The plan for this mode, made in this boot; RebootRefusedError if there is none."""
        plan = self.load()
        if plan is None or plan.stage != "planned" or plan.to != mode_id or plan.boot != self._boot():
            raise RebootRefusedError(f"no reboot into mode {mode_id} is planned")
        return plan

    def ask(self, modes: PowerModes, mode_id: int) -> None:
        """Make the mode the next boot's, and ask for that boot. Raises RebootRefusedError, all as before."""
        plan = self.planned(mode_id)
        files = self._files(modes, mode_id)
        before = {path: self._tree.exact(path) for path in files}
        original = {**before, **plan.original}
        self._keep(plan._replace(stage="asked", before=before, original=original))
        try:
            self._write(files)
            self._run()
        except OSError as error:
            self.cancel()
            raise RebootRefusedError(f"the reboot can't be asked for: {error}") from error

    def cancel(self) -> None:
        """Forget a plan that has not come to its boot, and put its files back."""
        plan = self.load()
        if plan is None or plan.stage not in ("planned", "asked"):
            return
        self._write(plan.before)
        if plan.original and plan.original != plan.before:
            # An earlier reboot had reached its mode: that is still to be undone one day.
            self._keep(plan._replace(stage="reached", seen=True, before=NO_FILES))
        else:
            self._forget()

    def seen(self) -> None:
        """The agent has taken note of how it ended."""
        plan = self.load()
        if plan and plan.stage in ("reached", "missed"):
            self._keep(plan._replace(seen=True))

    def restore(self) -> bool:
        """Let the next boot bring what it would have without us; whether there was something to do."""
        plan = self.load()
        if plan is None:
            return False
        self._write(plan.original)
        self._forget()
        return True

    def _files(self, modes: PowerModes, mode_id: int) -> dict[str, str]:
        mode = modes.mode(mode_id)
        if mode is None:
            raise RebootRefusedError(f"there is no mode {mode_id}")
        # JetPack 4 keeps its fan in the same file: `pmode:0002 fmode:quiet`.
        first, space, rest = (self._tree.exact(STATUS) or "").partition(" ")
        end = "" if space else first[len(first.rstrip()) :]
        files = {STATUS: f"pmode:{mode_id:04d}{space}{rest}{end}"}
        for param, path, value in wanted(modes, mode):
            if param in MASKS and not path.startswith(KERNEL):
                files[path] = f"{value}\n"
        return files

    def _write(self, files: Mapping[str, str | None]) -> None:
        for path, text in files.items():
            self._tree.replace(path, text)

    def _run(self) -> None:
        run_command(self._command, TIMEOUT_S)

    def _boot(self) -> str:
        return self._tree.read(BOOT_ID) or ""

    def _keep(self, plan: Plan) -> None:
        replace_file(self._path, onfile.write(plan._asdict()))

    def _forget(self) -> None:
        remove_file(self._path)
