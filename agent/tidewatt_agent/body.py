"""The board, as an agent has it: what it is, what is read of it, what moves it."""

import logging
import uuid

from tidewatt_agent.config import Config, kept_in
from tidewatt_agent.counterfile import CounterFile
from tidewatt_agent.host import Host
from tidewatt_agent.leases import Leases
from tidewatt_agent.load.endpoint import Applications
from tidewatt_agent.policies import Policies
from tidewatt_agent.power import Calibration, PowerRule
from tidewatt_agent.readers import Readers
from tidewatt_agent.recognise import recognise
from tidewatt_agent.setup import hands_of, profile_of, readers_of
from tidewatt_agent.sysfs.battery import Battery
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_agent.tick import Identity
from tidewatt_wire.clock import Clock

log = logging.getLogger(__name__)

#: An agent ticks at most this often in real time, however fast virtual time runs.
MOST_TICKS_PER_REAL_SECOND = 10.0


class Body:
    """The parts that touch the board. Raises OSError or ValueError for a bad set-up."""

    def __init__(self, config: Config, clock: Clock, policies: Policies) -> None:
        # At most ten readings a real second: in fast virtual time they lie further apart.
        self.shortest_s = clock.speed / MOST_TICKS_PER_REAL_SECOND
        self.tick_s = max(config.agent.tick_s, self.shortest_s)
        self.gap_s = max(config.agent.gap_s, 3.0 * self.shortest_s)
        self.file = CounterFile(kept_in(config, "counters.json"), config.state.every_s)
        self.kept = self.file.load()
        self.identity = Identity(config.device, uuid.uuid4().hex, self.kept.epoch)
        tree = Tree(config.reader.root)
        self.board = recognise(tree)
        self.profile = profile_of(config, self.board)
        if self.profile is None:
            name = self.board.model or "this machine"
            log.warning("no points known for %s: it is measured, not governed", name)
        interval_s = max(config.reader.interval_s, self.shortest_s)
        self.readers = Readers(readers_of(config, interval_s, clock), clock)
        self.battery = Battery(tree)
        self.power = PowerRule(Calibration(config.board.power_gain, config.board.power_offset_w))
        self.load = Applications(config.load) if config.load else None
        self.hands = hands_of(config, self.profile, policies)
        self.leases = Leases([point.name for point in self.profile.points] if self.profile else [], clock)
        self.host = Host(config.state.folder, self._child_pid)

    def _child_pid(self) -> int | None:
        return next((one.pid for one in self.readers.all if isinstance(one, TegrastatsChild)), None)
