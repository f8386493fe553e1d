"""metrics.md, from the collectors."""

from collections.abc import Iterator

from prometheus_client import Metric

from pages.agent_families import agent_families
from pages.coordinator_families import coordinator_families
from pages.place import MADE
from pages.router_families import router_families

METRICS_HEAD = """# Metrics

Base units, one prefix; `_total` only on counters, ratios 0 to 1. A quantity that was not measured is
an absent series, never a zero. Every page also carries Prometheus' own `process_*` families.
"""


def metrics() -> str:
    """The tables of metric families: the agent's, the coordinator's, the router's."""
    return "\n".join(
        [
            MADE,
            METRICS_HEAD,
            "## The agent",
            "",
            *_table(agent_families()),
            "",
            "## The coordinator",
            "",
            *_table(coordinator_families()),
            "",
            "## The router",
            "",
            *_table(router_families()),
            "",
        ]
    )


def _table(families: Iterator[Metric]) -> Iterator[str]:
    yield "| name | type | labels | what |"
    yield "|---|---|---|---|"
    for family in sorted(families, key=lambda one: one.name):
        labels = sorted({label for sample in family.samples for label in sample.labels})
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        names = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{family.name}{suffix}` | {kind} | {names} | {family.documentation} |"
