"""Where Prometheus finds the agents, by their own word, in the form of its HTTP and file discovery."""

import re
from collections.abc import Iterator

from pydantic import BaseModel

from tidewatt_coordinator.fleet import Fleet

#: Who is stopped or asleep by its own word has no page, and that is no failure.
AWAY = ("stopped", "asleep")


class TargetGroup(BaseModel):
    """Addresses with the labels that hold for all of them."""

    targets: list[str]
    labels: dict[str, str]


def target_groups(name: str, fleet: Fleet, now_ms: int) -> list[TargetGroup]:
    """A group for each device that told an address, by name; those that are silent or lost, too."""
    return list(_groups(name, fleet, now_ms))


def _groups(name: str, fleet: Fleet, now_ms: int) -> Iterator[TargetGroup]:
    for device, known in fleet.known():
        birth = known.birth
        if birth is None or not isinstance(birth.metrics, str):
            continue
        if known.status(now_ms, fleet.stale_after_ms) in AWAY:
            continue
        meta = {"board": birth.board, "version": birth.version, "control": birth.control}
        labels = {"fleet": name, "device": device, "site": birth.labels.get("site", "")}
        labels |= {f"__meta_tidewatt_{key}": value for key, value in meta.items()}
        labels |= {f"__meta_tidewatt_label_{_named(key)}": value for key, value in birth.labels.items()}
        yield TargetGroup(targets=[birth.metrics], labels=labels)


def _named(label: str) -> str:
    """A device's label as Prometheus lets labels be named."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)
