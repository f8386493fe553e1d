"""What the running agent sees and would save, for a person: read from its own metrics page."""

import http.client
from collections.abc import Mapping

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tidewatt_agent.config import host_port
from tidewatt_wire.units import JOULES_PER_WATT_HOUR

TIMEOUT_S = 5.0
Labels = tuple[tuple[str, str], ...]
Page = Mapping[str, Mapping[Labels, float]]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say; None where it isn't known."""

    board: str | None
    version: str | None
    control: str
    mode: str | None
    watts: float | None
    temperature_c: float | None
    requests_rps: float | None
    p95_ms: float | None
    energy_wh: float
    estimated_wh: float | None
    """What the board used by the operating points' model."""
    estimated_governed_wh: float | None
    """What it would have used, had the agent acted, by the same model."""
    broker: bool
    policy_revision: int | None = None
    """Of the policy set accepted last; None: none was."""
    policy_expires_s: float | None = None
    """Seconds until it decays to the built-in policy, negative when it has; None: never."""
    rollout: str | None = None
    """The rollout under way, by its id,"""
    rollout_member: bool | None = None
    """and whether its rules hold here."""
    refused: str | None = None
    """Why the last policy set was refused, by its code; None when it wasn't,"""
    refused_revision: str | None = None
    """and its revision."""
    points: dict[str, str] = {}
    """Where each operating point's figures come from: measured, calibrated, class_default."""


class AgentSilentError(OSError):
    """The agent's page doesn't answer; the sentence says where it was looked for."""


def fetch(listen: str) -> str:
    """The agent's metrics page. Raises AgentSilentError."""
    host, port = host_port(listen)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise AgentSilentError(
            f"no agent answers at {listen}: {why}; `systemctl status tidewatt-agent` says more"
        ) from error
    finally:
        connection.close()


def parse(text: str) -> Page:
    """The samples by name and labels. ValueError if that is no metrics page."""
    page: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            page.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return page


def summarise(page: Page, control: str) -> Status:
    """What the page says."""
    cases = {dict(labels)["case"]: joules for labels, joules in _all(page, "estimated_energy_joules_total")}
    p95_s, revision = _one(page, "latency_p95_seconds"), _one(page, "policy_revision")
    members = [dict(labels)["rollout"] for labels, _ in _all(page, "policy_rollout_member")]
    rollout = members[0] if members else None
    return Status(
        board=_label(page, "board_info", "model"),
        version=_label(page, "agent_info", "version"),
        control=control,
        mode=_label(page, "power_mode_info", "mode"),
        watts=_one(page, "board_watts"),
        temperature_c=_one(page, "junction_temperature_celsius"),
        requests_rps=_one(page, "requests_per_second"),
        p95_ms=None if p95_s is None else p95_s * 1000.0,
        energy_wh=(_one(page, "energy_joules_total") or 0.0) / JOULES_PER_WATT_HOUR,
        estimated_wh=_watt_hours(cases.get("as_it_stood")),
        estimated_governed_wh=_watt_hours(cases.get("as_governed")),
        broker=_one(page, "link_connected") == 1.0,
        policy_revision=None if revision is None else int(revision),
        policy_expires_s=_one(page, "policy_expires_seconds"),
        rollout=rollout,
        rollout_member=None if rollout is None else _one(page, "policy_rollout_member") == 1.0,
        refused=_label(page, "policy_refusal_info", "code"),
        refused_revision=_label(page, "policy_refusal_info", "revision"),
        points={
            labels["point"]: labels["origin"]
            for labels in (dict(found) for found, _ in _all(page, "operating_point_info"))
        },
    )


def sentences(status: Status) -> list[str]:
    """The status as lines for a terminal."""
    mode = status.mode or "unknown"
    p95 = _figure(status.p95_ms, "ms", 0)
    return [
        f"board        {status.board or 'unknown'}",
        f"agent        {status.version or 'unknown'}, {_does(status.control)}",
        f"mode         {mode}",
        f"power        {_figure(status.watts, 'W', 2)}",
        f"temperature  {_figure(status.temperature_c, '°C', 1)}",
        f"load         {_figure(status.requests_rps, 'requests/s', 1)}, p95 {p95}",
        f"energy       {status.energy_wh:.2f} Wh measured",
        f"saving       {_saving(status)}",
        f"points       {_points(status.points)}",
        f"policy       {_policy(status)}",
        f"broker       {'connected' if status.broker else 'not connected'}",
    ]


def _policy(status: Status) -> str:
    held = "the built-in one" if status.policy_revision is None else f"revision {status.policy_revision}"
    if status.policy_expires_s is not None:
        over = status.policy_expires_s <= 0
        held += (
            ", over: the built-in one is in force" if over else f", for {status.policy_expires_s:.0f} s more"
        )
    if status.rollout:
        held += f"; rollout {status.rollout} {'holds here' if status.rollout_member else 'not here yet'}"
    if status.refused:
        held += f"; revision {status.refused_revision} was refused: {status.refused}, see the journal"
    return held


def _points(origins: Mapping[str, str]) -> str:
    said = {"class_default": "the class default (unmeasured)"}
    by_origin: dict[str, list[str]] = {}
    for point, origin in origins.items():
        by_origin.setdefault(said.get(origin, origin), []).append(point)
    return "; ".join(f"{', '.join(names)} {origin}" for origin, names in by_origin.items()) or "none known"


def _does(control: str) -> str:
    return "enforcing" if control == "enforce" else "observing (it changes nothing)"


def _saving(status: Status) -> str:
    used, governed = status.estimated_wh, status.estimated_governed_wh
    if not used or governed is None:
        return "not known: it takes the load, the mode and the board's operating points"
    verb = "is saved" if status.control == "enforce" else "would be saved"
    share = 1.0 - governed / used
    return f"{used - governed:.2f} Wh ({share:.0%}) {verb}, estimated from the operating points"


def _figure(value: float | None, unit: str, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f} {unit}"


def _all(page: Page, name: str) -> list[tuple[Labels, float]]:
    return list(page.get(f"tidewatt_{name}", {}).items())


def _one(page: Page, name: str) -> float | None:
    return next((value for _, value in _all(page, name)), None)


def _label(page: Page, name: str, label: str) -> str | None:
    return next((dict(labels).get(label) or None for labels, value in _all(page, name) if value), None)


def _watt_hours(joules: float | None) -> float | None:
    return None if joules is None else joules / JOULES_PER_WATT_HOUR
