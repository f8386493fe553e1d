"""The fleet as it stands: births, last reports, wills and acks, by device. A view, not a truth:
money and energy are the ledger's.

What is the newest goes by sessions and numbers, and else by the order of coming, never by the
devices' clocks: one that was set back would hide all that follows.
"""

from collections import deque
from collections.abc import Mapping
from operator import itemgetter
from typing import Literal

import msgspec

from tidewatt_coordinator.ledger.baselines import DeviceModel
from tidewatt_coordinator.skew import Skew, sentence
from tidewatt_coordinator.steering.edge import Known
from tidewatt_governor.policy import resolve
from tidewatt_wire.messages import Ack, Birth, PolicySet, Report, Will
from tidewatt_wire.sleeping import SleepState
