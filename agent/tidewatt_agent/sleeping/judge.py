"""Whether a board may sleep now, and for how long. Pure.

A hint is only ever narrowed: by the policy, the qualification, whoever needs the board, and the time that
the resume takes. The first obstacle is the reason that is told.
"""

from collections.abc import Iterator

import msgspec

from tidewatt_agent.actuator.nap import SHORTEST_NAP_S
from tidewatt_agent.maintenance import open_now
from tidewatt_wire.messages import Policy, Report
from tidewatt_wire.sleeping import SleepHint

#: Share by which the slowest resume seen is taken to be exceeded, and seconds on top.
SLOWER, PATIENCE_S = 0.25, 5.0
#: The two clocks may differ by this; one that differs more is about to be set, and its alarm would be missed.
CLOCKS_AGREE_S = 60.0
NOT_ALLOWED = "the policy allows no sleep"
REBOOTS = frozenset({"reboot_planned", "rebooting", "reboot_reached", "reboot_missed"})


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the board at a tick."""

    at_ms: int
    now_s: float
    """Monotonic."""
    acts: bool
    """Whether the agent may act on this board at all."""
    policy: Policy
    report: Report


def unable(facts: Facts, verdict: str) -> str:
    """Why this board may not sleep whatever is hinted; empty if it may. `verdict`: its obstacle."""
    return next(_unable(facts, verdict), "")


def _unable(facts: Facts, verdict: str) -> Iterator[str]:
    if facts.policy.sleep is None:
        yield NOT_ALLOWED
    if not facts.acts:
        yield "the agent only observes this board"
    if verdict:
        yield verdict


def needed(facts: Facts, hint: SleepHint, lead_s: float) -> str:
    """Why a board that is able stays awake now, in a sentence; empty if it need not."""
    return next(_needed(facts, hint, lead_s), "")


def _needed(facts: Facts, hint: SleepHint, lead_s: float) -> Iterator[str]:
    gauges, window = facts.report.gauges, facts.policy.maintenance
    if facts.at_ms >= hint.expires_at_ms:
        yield "the hint has expired"
    if gauges.leases:
        yield f"an application holds {gauges.leases[0]}"
    if window and open_now(window, facts.at_ms):
        yield "a maintenance window is open"
    if facts.report.verdict and facts.report.verdict.outcome in REBOOTS:
        yield "a reboot is planned or has just been"
    if (for_s := nap_s(facts.policy, hint, facts.at_ms, lead_s)) < SHORTEST_NAP_S:
        yield f"a nap of {for_s:.0f} s is left, which is too short"
    if gauges.requests_rps is None:
        yield "the load is not known"
    elif gauges.requests_rps > 0.0:
        yield f"it still serves {gauges.requests_rps:.1f} requests/s"


def lead_s(resume_s: float | None) -> float:
    """How long before it must serve a board is to wake."""
    return (resume_s or 0.0) * (1.0 + SLOWER) + PATIENCE_S


def nap_s(policy: Policy, hint: SleepHint, at_ms: int, lead_s: float) -> float:
    """How long the board may sleep from now on, in seconds; 0 where it may not."""
    if policy.sleep is None:
        return 0.0
    return max(0.0, min(policy.sleep.longest_nap_s, (hint.serve_at_ms - at_ms) / 1000.0 - lead_s))


def clocks_differ(rtc_s: int | None, at_ms: int) -> str:
    """Why the alarm's clock is not trusted, in a sentence; empty if it is."""
    if rtc_s is None:
        return "the alarm's clock can't be read"
    if abs(rtc_s - at_ms / 1000.0) > CLOCKS_AGREE_S:
        return (
            f"the alarm's clock is {rtc_s - at_ms / 1000.0:+.0f} s off: it may be set while the board sleeps"
        )
    return ""
