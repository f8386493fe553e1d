"""Change the board or don't: snapshot, keep the undo, write, read back, commit or roll back.

Whatever happens in between, the board is left where it was found before the call, or at the target;
where it refuses both, it is `stuck`, which is said, and the server tries again until it goes.
undo.json says how the board was found before the first change of all, until `restore` has put that back.
"""

import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from tidewatt_agent.actuator import plan
from tidewatt_agent.actuator.board import Board, State, WriteRefusedError
from tidewatt_agent.actuator.plan import Knob, Readings, Write
from tidewatt_agent.actuator.reboot import Plan, RebootRefusedError, Reboots
from tidewatt_agent.actuator.snapshot import Snapshot, take
from tidewatt_agent.actuator.tool import STATUS, Nvpmodel, Said
from tidewatt_agent.actuator.undofile import Undo, UndoFile
from tidewatt_agent.nvpmodel import PowerMode, PowerModes

#: Clocks follow within milliseconds; cores take longer to come online.
SETTLE_S = 3.0
LOOK_S = 0.05
#: Cores that come back online bring nodes with them: one pass for the cores, one for their clocks.
PASSES = 3
#: How many nodes that differ are named when the tool says nothing.
MOST_DIFFERENCES = 3
UNDER_WAY = "a reboot is under way"

Kind = Literal[
    "unchanged", "applied", "needs_reboot", "refused", "rolled_back", "stuck", "reboot_planned", "rebooting"
]


class Result(NamedTuple):
    """What became of a request, and where the board stands by its own nodes."""

    kind: Kind
    detail: str
    state: State


class Actuator:
    """The board's hands. Not thread-safe: one caller at a time."""

    def __init__(
        self,
        board: Board,
        tool: Nvpmodel,
        undo: UndoFile,
        reboots: Reboots,
        sleep: Callable[[float], None] = time.sleep,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._board, self._tool, self._undo, self._reboots = board, tool, undo, reboots
        self._sleep, self._settle_s = sleep, settle_s
        self._caps: dict[str, int] = {}
        self._said: int | None = None
        self.stuck = False
        """Whether the last deed left the board neither as it was before nor at the target."""

    def modes(self) -> PowerModes:
        """What the board could be set to."""
        return self._board.modes()

    def clocks(self) -> dict[str, list[int]]:
        """What every clock offers, in hertz."""
        knobs = self._board.knobs(self._board.modes())
        return {knob.name: [value * knob.unit for value in knob.available] for knob in knobs}

    def state(self) -> State:
        """Where the board stands. The tool isn't asked: that would be a process at every look."""
        state = self._board.state(self._said, self._caps)
        if self._caps and not state.fitting:
            bare = self._board.state(self._said, {})
            if bare.fitting:
                # Somebody has set a mode, which took our caps: it stands in that, not in none.
                self._caps, state = {}, bare
        return state

    def set_mode(self, mode_id: int) -> Result:
        """Bring the board into the mode, now, or leave it as it is."""
        before, found = self._snapshot(), self._undo.load()
        kind, why = self._judge(before, found, mode_id)
        if kind != "applied" or before.mode is None:
            return Result(kind, why, before.state)
        undo = found.with_mode(before.mode.id, before.mode.name, before.status).with_ours(mode_id)
        self._undo.keep(undo.with_nodes(before.restorable))
        caps, self._caps = self._caps, {}
        said = self._tool.set_mode(mode_id)
        # What the tool calls a failure won't come about by waiting for it.
        state = self._settled(mode_id, self._settle_s if said.returncode == 0 else 0.0)
        if state.mode_id == mode_id and not said.pretended and not said.prompted:
            self.stuck = False
            return Result("applied", "", state)
        self._caps = caps
        return self._roll_back(before, found, said, mode_id)

    def _judge(self, before: Snapshot, found: Undo, mode_id: int) -> tuple[Kind, str]:
        """`applied` where the mode may be set, else what to answer, and why."""
        verdict = before.classify(mode_id)
        if self.reboot and self.reboot.stage == "asked":
            return "refused", UNDER_WAY
        if verdict.feasibility != "live":
            return "needs_reboot" if verdict.feasibility == "needs_reboot" else "refused", verdict.why
        if before.state.mode_id == mode_id and not self._caps:
            return "unchanged", ""
        if before.mode is None:
            return "refused", "the board's present mode is not known: there is nothing to go back to"
        if before.state.pinned and found.empty:
            # A change of mode would undo more of jetson_clocks than can be put back.
            clocks = ", ".join(before.state.pinned)
            return "refused", f"jetson_clocks holds {clocks}: `jetson_clocks --restore` first"
        return "applied", ""

    def set_caps(self, caps: Mapping[str, int | None]) -> Result:
        """Cap clocks below the mode's own caps, in hertz; None takes a cap away again."""
        before = self._snapshot()
        mode = None if before.state.mode_id is None else before.modes.mode(before.state.mode_id)
        if self.reboot and self.reboot.stage == "asked":
            return Result("refused", UNDER_WAY, before.state)
        if mode is None:
            return Result("refused", "the board stands in no mode of its own: no cap on top", before.state)
        try:
            wanted = {
                knob.name: (knob, self._value(knob, hertz, before.modes, mode.id))
                for name, hertz in caps.items()
                for knob in self._named(name, before.knobs)
            }
            writes = [
                write for knob, value in wanted.values() for write in plan.cap(knob, value, before.readings)
            ]
        except (ValueError, KeyError) as error:
            return Result("refused", str(error), before.state)
        if not writes:
            return Result("unchanged", "", before.state)
        found = self._undo.load()
        undo = found.with_mode(mode.id, mode.name, before.status)
        self._undo.keep(undo.with_nodes({write.path: before.restorable[write.path] for write in writes}))
        done: list[Write] = []
        try:
            for write in writes:
                done.append(write)
                self._board.write(write)
        except WriteRefusedError as error:
            left = self._put_back({write.path: write.was for write in done})
            return self._rolled_back("rolled_back", [str(error), *left], found, stuck=bool(left))
        for name, (knob, value) in wanted.items():
            self._caps[name] = value
            if value == plan.limit(before.modes, mode, knob):
                del self._caps[name]
        return Result("applied", "", self.state())

    def restore(self) -> Result:
        """Put back what was found before the first change; what couldn't be put back stays on file."""
        found = self._undo.load()
        if found.empty:
            return Result("unchanged", "", self.state())
        before = self._snapshot()
        if _theirs(before, found):
            self._caps, self.stuck = {}, False
            self._undo.forget()
            return Result("unchanged", "somebody else has set this mode: it is left alone", before.state)
        self._caps = {}
        complaint, mode = "", _same_mode(before.modes, found)
        if mode and before.mode != mode:
            complaint = self._tool.set_mode(mode.id).complaint
            self._settled(mode.id, self._settle_s)
        # Only what a mode or a cap may touch: a file that says otherwise is not ours.
        now = self._snapshot()
        strange = {
            path: why
            for path, value in found.nodes.items()
            if (why := plan.why_strange(now.modes, now.knobs, path, value))
        }
        left = list(strange.values())
        left += self._put_back({path: to for path, to in found.nodes.items() if path not in strange})
        if found.mode_id is not None:
            left += self._remember(found.status)
        self.stuck = bool(left)
        if self.stuck:
            return Result("stuck", "; ".join([*left, complaint]).strip("; "), self.state())
        self._undo.forget()
        self._said = self._tool.query()
        return Result("applied", "", self.state())

    @property
    def reboot(self) -> Plan | None:
        """The reboot that is planned, under way, or was the last."""
        return self._reboots.load()

    def wake(self) -> None:
        """At the start: see what became of a reboot, by the board's own nodes."""
        if self.reboot:
            # Not by nvpmodel's word: its status file is what we wrote there.
            self._reboots.wake(self._snapshot().state.fitting)

    def plan_reboot(self, mode_id: int) -> Result:
        """Plan a reboot into a mode that can't be had otherwise. Nothing changes yet."""
        before = self._snapshot()
        verdict = before.classify(mode_id)
        if verdict.feasibility != "needs_reboot":
            why = verdict.why or f"mode {mode_id} can be set without a reboot"
            return Result("refused", why, before.state)
        try:
            self._reboots.plan(mode_id)
        except RebootRefusedError as error:
            return Result("refused", str(error), before.state)
        return Result("reboot_planned", verdict.why, before.state)

    def ask_reboot(self, mode_id: int) -> Result:
        """Put the board back as it was found, and reboot the machine into the mode that was planned."""
        try:
            self._reboots.planned(mode_id)
            back = self.restore()
            if self.stuck:
                return back
            self._reboots.ask(self._board.modes(), mode_id)
        except RebootRefusedError as error:
            return Result("refused", str(error), self.state())
        return Result("rebooting", "", self.state())

    def cancel_reboot(self) -> None:
        """The reboot did not come: everything as if it had not been asked for."""
        self._reboots.cancel()

    def reboot_seen(self) -> None:
        """The agent has taken note of how the last one ended."""
        self._reboots.seen()

    def forget_reboots(self) -> bool:
        """Let the next boot bring what it would have without us; whether there was something to do."""
        return self._reboots.restore()

    @property
    def changed(self) -> bool:
        """Whether there is, or may be, something to put back."""
        try:
            return not self._undo.load().empty
        except ValueError:
            return True

    def _snapshot(self) -> Snapshot:
        self._said = self._tool.query()
        return take(self._board, self._said, self._caps)

    def _settled(self, mode_id: int, within_s: float) -> State:
        """The state once the mode shows, or after the time it may take."""
        waited_s = 0.0
        while True:
            state = self._board.state(mode_id, self._caps)
            if state.mode_id == mode_id or waited_s >= within_s:
                break
            self._sleep(LOOK_S)
            waited_s += LOOK_S
        if len(state.fitting) > 1:
            # No node tells these modes apart: here the tool's word has to do.
            state = self._board.state(self._tool.query(), self._caps)
        self._said = state.mode_id
        return state

    def _roll_back(self, before: Snapshot, found: Undo, said: Said, mode_id: int) -> Result:
        """Back to where the board stood before this call."""
        now = self._snapshot()
        moved, mode = not before.same(now), now.modes.mode(mode_id)
        differs = plan.mismatches(now.modes, mode, now.readings, now.knobs, {}) if mode else []
        left: list[str] = []
        if moved and before.mode:
            self._tool.set_mode(before.mode.id)
            self._settled(before.mode.id, self._settle_s)
            left = self._put_back(before.restorable)
        left += self._remember(before.status)
        kind: Kind = "needs_reboot" if said.prompted else "rolled_back" if moved else "refused"
        why = [said.complaint or "; ".join(differs[:MOST_DIFFERENCES]), *left]
        return self._rolled_back(kind, why, found, stuck=bool(left) or not before.same(self._snapshot()))

    def _remember(self, status: str | None) -> list[str]:
        """Have the tool believe, and the next boot bring, what it did before; why not, if it can't be."""
        try:
            if self._board.tree.exact(STATUS) != status:
                self._board.tree.replace(STATUS, status)
        except OSError as error:
            return [f"/{STATUS} can't be put back: {error.strerror}"]
        return []

    def _rolled_back(self, kind: Kind, why: list[str], found: Undo, *, stuck: bool) -> Result:
        """Said when it is done: as before this call, and if that was as found, nothing is left to undo."""
        self.stuck = stuck
        if not stuck:
            self._undo.forget() if found.empty else self._undo.keep(found)
        return Result("stuck" if stuck else kind, "; ".join(filter(None, why)), self.state())

    def _put_back(self, found: Readings) -> list[str]:
        """Write what differs from `found`; what couldn't be written, a sentence each."""
        left: list[str] = []
        for _ in range(PASSES):
            modes = self._board.modes()
            knobs = self._board.knobs(modes)
            readings = self._all_readings(modes, knobs, found)
            writes = plan.put_back(found, knobs, readings)
            left = [f"/{path} can't be read" for path in found if path not in readings]
            if not writes:
                break
            for write in writes:
                try:
                    self._board.write(write)
                except WriteRefusedError as error:
                    left.append(str(error))
        return left

    def _all_readings(self, modes: PowerModes, knobs: list[Knob], found: Readings) -> Readings:
        more = {path: self._board.tree.number(path) for path in found}
        return {
            **self._board.readings(modes, knobs),
            **{path: value for path, value in more.items() if value is not None},
        }

    def _named(self, name: str, knobs: list[Knob]) -> list[Knob]:
        """The knobs called `name`; `cpu` stands for all cores."""
        found = [knob for knob in knobs if name == knob.name or (name == "cpu" and knob.unit != 1)]
        if not found:
            known = ", ".join(knob.name for knob in knobs)
            raise ValueError(f"there is no clock {name!r}; there are {known}")
        return found

    def _value(self, knob: Knob, hertz: int | None, modes: PowerModes, mode_id: int) -> int:
        mode = modes.mode(mode_id)
        assert mode is not None  # noqa: S101 - the caller looked it up
        highest = plan.limit(modes, mode, knob)
        if hertz is None:
            return highest
        value, rest = divmod(hertz, knob.unit)
        if rest:
            nearest = min(knob.available, key=lambda one: abs(one * knob.unit - hertz), default=0) * knob.unit
            raise ValueError(f"{knob.name} offers no {hertz}; the nearest is {nearest}")
        if value > highest:
            raise ValueError(f"{knob.name}: {hertz} Hz is above the {highest * knob.unit} Hz of {mode.name}")
        return value


def _theirs(now: Snapshot, found: Undo) -> bool:
    """Whether somebody else has set the mode since: then it is not ours to put back.

    By the nodes and by the tool's word: what a kill left half done may look like a third mode, but
    nobody has asked the tool for it.
    """
    strange = now.said is not None and now.said not in (found.mode_id, *found.ours)
    return found.mode_id is not None and strange and now.said in now.state.fitting


def _same_mode(modes: PowerModes, found: Undo) -> PowerMode | None:
    """The mode that was found, by its name if the ids have been dealt anew."""
    if found.mode_id is None:
        return None
    mode = modes.mode(found.mode_id)
    if found.mode_name is None or (mode and mode.name == found.mode_name):
        return mode
    return next((one for one in modes.modes if one.name == found.mode_name), None)
