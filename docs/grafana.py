"""How a dashboard is told, in rows of panels, and how Grafana wants to have it."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: What Grafana calls a grid's whole width.
WIDTH = 24
HEIGHT = 8
#: Picked at the top of each page; `$__rate_interval` is Grafana's own.
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SITE = 'fleet=~"$fleet",site=~"$site"'
DEVICE = 'device="$device"'
INSTANCE = 'instance=~"$instance"'


class Query(NamedTuple):
    """What is asked, and what the line is called."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One picture; `unit` as Grafana names it."""

    title: str
    unit: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    width: int = 8
    about: str = ""


class Dashboard(NamedTuple):
    """One page; `variables`: name, the query of its values, whether several may be picked."""

    uid: str
    title: str
    variables: Sequence[tuple[str, str, bool]]
    panels: Sequence[Panel]


def stat(title: str, unit: str, expr: str, about: str = "") -> Panel:
    """One large number."""
    return Panel(title, unit, [Query(expr)], "stat", 4, about)


def lines(title: str, unit: str, *queries: tuple[str, str], width: int = 8, about: str = "") -> Panel:
    """Lines over time."""
    return Panel(title, unit, [Query(*query) for query in queries], width=width, about=about)


def rates(metric: str, where: str, by: str = "") -> str:
    """The rate of a counter, summed up."""
    summed = f"sum by ({by}) " if by else "sum"
    chosen = f"{{{where}}}" if where else ""
    return f"{summed}(rate({metric}{chosen}[$__rate_interval]))"


def dashboard_json(page: Dashboard) -> str:
    """The page as Grafana provisions it."""
    document = {
        "uid": page.uid,
        "title": page.title,
        "tags": ["tidewatt"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["tidewatt"], "asDropdown": False, "title": "Tidewatt"}],
        "templating": {"list": [*_source(), *(_variable(*one) for one in page.variables)]},
        "panels": list(_panels(page.panels)),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _source() -> Iterator[dict[str, object]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, asked: str, several: bool) -> dict[str, object]:
    found: dict[str, object] = {"name": name, "type": "query", "datasource": SOURCE, "query": asked}
    found |= {"definition": asked, "refresh": 2, "sort": 1, "multi": several, "includeAll": several}
    return found | ({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if several else {})


def _panels(panels: Sequence[Panel]) -> Iterator[dict[str, object]]:
    x = y = 0
    height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + height
        height = HEIGHT // 2 if panel.kind == "stat" else HEIGHT
        yield {
            "id": number,
            "type": panel.kind,
            "title": panel.title,
            "description": panel.about,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "options": _options(panel.kind),
            "targets": [
                {
                    "refId": chr(65 + place),
                    "datasource": SOURCE,
                    "expr": query.expr,
                    "legendFormat": query.legend,
                }
                for place, query in enumerate(panel.queries)
            ],
        }
        x += panel.width


def _options(kind: str) -> dict[str, object]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "textMode": "auto"}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
