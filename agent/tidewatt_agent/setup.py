"""What the configuration asks for, part by part."""

import logging
import time
from importlib.util import find_spec

from tidewatt_agent.config import AUTO, POLICY_FILE, Config, kept_in
from tidewatt_agent.eyes import Eyes
from tidewatt_agent.folding import FoldingHands
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.hands import FoldedHands, Hands, SocketHands
from tidewatt_agent.jtop import JtopReader
from tidewatt_agent.learning import Learning
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.policies import Policies
from tidewatt_agent.policyfile import PolicyFile, configured_keys
from tidewatt_agent.profiles import named_profile
from tidewatt_agent.readers import Reader
from tidewatt_agent.recognise import BoardIdentity
from tidewatt_agent.sleeping.neighbours import Wakes, to_segment, wakes_others
from tidewatt_agent.spool import FILE_NAME, MEGABYTE, Spool
from tidewatt_agent.sysfs.reader import SysfsReader
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_governor.boards import BoardProfile, profile_for
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Capability
from tidewatt_wire.topics import WakeTopic

log = logging.getLogger(__name__)

#: A clock before this (2026-11-01 UTC) has not been set yet: boards without a battery boot in 1970.
#: Reports wait for the clock; counters don't, so nothing is lost by waiting.
CLOCK_IS_SET_MS = 1_793_491_200_000


def clock_is_set(clock: Clock) -> bool:
    """Whether the time of day can be believed. A virtual one always can."""
    return clock.virtual or clock.now_ms() >= CLOCK_IS_SET_MS


def profile_of(config: Config, board: BoardIdentity) -> BoardProfile | None:
    """The operating points that are configured, or those of the recognised board; None if there are none."""
    if config.board.profile != AUTO:
        return named_profile(config.board.profile)
    return profile_for(board.compatible)


def readers_of(config: Config, interval_s: float, clock: Clock) -> list[Reader]:
    """The readers that the configuration allows, the preferred first.

    sysfs costs less than a child process and sees more; jtop only where it was chosen.
    """
    sysfs = SysfsReader(Tree(config.reader.root), interval_s, clock)
    tegrastats = TegrastatsChild(config.tegrastats.command, interval_s, clock)
    if config.reader.kind == AUTO:
        return [sysfs, tegrastats]
    return [
        reader
        for reader in (sysfs, tegrastats, JtopReader(interval_s, clock))
        if reader.name == config.reader.kind
    ]


def hands_of(config: Config, profile: BoardProfile | None, policies: Policies) -> Hands:
    """What moves the board, as far as it may be moved."""
    points = profile.points if profile else []
    if not config.board.actuator_socket:
        return FoldedHands(Eyes(Tree(config.reader.root), time.monotonic))
    board = SocketHands(config.board.actuator_socket, points)
    if config.agent.control == "observe":
        return FoldedHands(board)
    return FoldingHands(board, lambda: policies.policy.control)


def policies_of(config: Config) -> Policies:
    """The policy sets, the last one loaded."""
    file = PolicyFile(kept_in(config, POLICY_FILE))
    keys = configured_keys(config.link)
    policies = Policies(config.agent.fleet, config.device, config.labels, keys, file)
    policies.load()
    if config.link.broker and not keys:
        log.warning("no link.policy_keys: every policy set is refused until there is one")
    return policies


def learned(config: Config, profile: BoardProfile | None) -> Learning:
    """The points of the board as they were learned so far."""
    learning = Learning(profile, kept_in(config, "learned.json"))
    learning.load()
    return learning


def wakes_of(config: Config, clock: Clock, policies: Policies) -> Wakes:
    """What wakes neighbours, where the policy lets it."""
    return Wakes(
        WakeTopic(config.agent.fleet, config.device),
        clock,
        lambda: policies.trusted,
        lambda: config.agent.control == "enforce" and wakes_others(policies.policy),
        to_segment(config.sleep.wake_to),
    )


def outbox_of(config: Config) -> Outbox:
    """Where reports wait: with a state folder the spool's file takes those that wait for long."""
    path = kept_in(config, FILE_NAME)
    size = config.spool.max_mb * MEGABYTE
    spool = Spool(path, config.agent.fleet, config.device, size) if path else None
    return Outbox(spool, config.spool.replay_per_s)


def capabilities_of(
    config: Config, learning: Learning, hands: Hands, foresight: Foresight
) -> list[Capability]:
    """What this agent, as it is configured, can do beyond reporting."""
    can: dict[Capability, bool] = {
        "caps": hands.acts and any(point.trims for point in learning.points),
        "forecast": foresight.configured,
        "model": bool(config.state.folder) and find_spec("onnxruntime") is not None,
        "spool": bool(config.state.folder),
    }
    return [name for name, able in can.items() if able]
