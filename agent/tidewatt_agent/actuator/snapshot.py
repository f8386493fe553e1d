"""The board before a change: what it takes to judge a request, and to find the way back."""

from typing import NamedTuple

from tidewatt_agent.actuator import plan
from tidewatt_agent.actuator.board import Board, State
from tidewatt_agent.actuator.plan import Knob, Readings
from tidewatt_agent.actuator.tool import STATUS
from tidewatt_agent.nvpmodel import PowerMode, PowerModes


class Snapshot(NamedTuple):
    """The board at one moment."""

    modes: PowerModes
    knobs: list[Knob]
    readings: Readings
    state: State
    said: int | None
    """The mode that the tool believes in."""
    status: str | None
    """What nvpmodel's service will do at the next boot, too: the text of its status file."""
    clamped: bool
    """Whether the kernel held clocks down, being hot: their maxima show that, not what was set."""

    @property
    def mode(self) -> PowerMode | None:
        """The mode it stands in, one that fits where several do, else the one that the tool believes in."""
        fitting = [self.state.mode_id, *self.state.fitting, self.said]
        return next((self.modes.mode(one) for one in fitting if one is not None), None)

    def classify(self, mode_id: int) -> plan.Classified:
        """Whether this mode can be set now."""
        return plan.classify(self.modes, mode_id, self.readings, self.mode)

    @property
    def restorable(self) -> Readings:
        """What may be written back: all but the GPU's masks, which only a reboot changes.

        What heat holds down is written back as the mode has it.
        """
        masks = plan.mask_paths(self.modes)
        found = {path: value for path, value in self.readings.items() if path not in masks}
        if self.clamped and self.mode:
            for knob in self.knobs:
                if knob.maximum in found and knob.available:
                    limit = plan.limit(self.modes, self.mode, knob)
                    found[knob.maximum] = max(found[knob.maximum], limit)
        return found

    def same(self, now: "Snapshot") -> bool:
        """Whether the board stands now as it did then, but for what heat does."""
        if not (self.clamped or now.clamped):
            return self.readings == now.readings
        heat = {knob.maximum for knob in self.knobs}
        paths = {*self.readings, *now.readings} - heat
        return all(self.readings.get(path) == now.readings.get(path) for path in paths)


def take(board: Board, said: int | None, caps: dict[str, int]) -> Snapshot:
    """Look at everything once; `said`: the tool's word, `caps`: ours on top."""
    modes = board.modes()
    knobs = board.knobs(modes)
    return Snapshot(
        modes=modes,
        knobs=knobs,
        readings=board.readings(modes, knobs),
        state=board.state(said, caps),
        said=said,
        status=board.tree.exact(STATUS),
        clamped=board.clamped(),
    )
