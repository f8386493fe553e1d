"""The `tidewatt validate` command. It needs no running coordinator, but Prometheus for what has a query."""

import re
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import Desk, desk
from tidewatt_coordinator.command.exits import DONE, FAILED, UNKNOWN
from tidewatt_coordinator.command.printing import AsJson, as_json, console, working
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile
from tidewatt_coordinator.costs import days as calendar
from tidewatt_coordinator.gate.judged import Row, cost_rows, promise_rows, spot_row
from tidewatt_coordinator.gate.targets import MOST_STEPS, Targets, service_of
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.sla.evidence import Evidence, EvidenceError
from tidewatt_coordinator.sla.ledgered import measuring
from tidewatt_coordinator.sla.objectives import Service
from tidewatt_coordinator.sla.verdict import Word, judge
from tidewatt_wire.documents import decode_text, parse_toml

UNITS_H = {"h": 1, "d": 24}
LONGEST_H = 31 * 24
DAY_H = 24
STEP_S = 60.0
WORST: tuple[Word, ...] = ("violates", "unknown", "ok")
CODES: dict[Word, int] = {"ok": DONE, "violates": FAILED, "unknown": UNKNOWN}


def validate(
    config: ConfigFile = DEFAULT_CONFIG,
    window: Annotated[str, typer.Option(help="How far back: 24h, 7d...; costs by whole days.")] = "24h",
    targets: Annotated[Path | None, typer.Option(help="A TOML file of targets.", dir_okay=False)] = None,
    service: Annotated[str, typer.Option(help="Measured as its sla section says; default: the fleet.")] = "",
    cost: Annotated[str | None, typer.Option(help="At most, for the days together.")] = None,
    cost_per_million: Annotated[str | None, typer.Option(help="At most, for a million requests.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the costs; default: the only one.")] = None,
    p95_ms: Annotated[float | None, typer.Option(help="At most, milliseconds.")] = None,
    throughput_rps: Annotated[float | None, typer.Option(help="At least, requests/s.")] = None,
    availability: Annotated[float | None, typer.Option(help="At least, a share such as 0.999.")] = None,
    promise: Annotated[float | None, typer.Option(help="At least, the share of time it was kept.")] = None,
    spot_share: Annotated[float | None, typer.Option(help="At least, a share such as 0.7.")] = None,
    json: AsJson = False,
) -> None:
    """Hold the last hours or days against targets: exit code 0 all kept, 1 one broken, 4 one unknown."""
    given = {
        "cost": cost,
        "cost_per_million": cost_per_million,
        "currency": currency,
        "p95_ms": p95_ms,
        "throughput_rps": throughput_rps,
        "availability": availability,
        "promise": promise,
        "spot_share": spot_share,
    }
    wanted = (_read(targets) if targets else Targets()).over(given)
    if not wanted.any:
        raise ValueError("there is no target: name a file with --targets, or one such as --p95-ms 50")
    hours = _hours(window)
    with desk(config) as at, working("measuring"):
        rows = _rows(at, wanted, hours, service)
    word = min((one.word for one in rows), key=WORST.index)
    if json:
        print(as_json({"window": window, "word": word, "rows": rows}))
    else:
        _show(rows)
    raise typer.Exit(CODES[word])


def _rows(at: Desk, wanted: Targets, hours: int, name: str) -> list[Row]:
    known = {one.service: one for one in at.config.sla}
    if name and name not in known:
        raise ValueError(
            f"{name!r} has no [[sla]] section; services are: {', '.join(sorted(known)) or 'none'}"
        )
    levers = at.config.levers
    evidence = Evidence(levers.prometheus, levers.prometheus_token_file)
    rows = []
    if wanted.cost is not None or wanted.cost_per_million is not None:
        answers = Answers(at.ledger, at.config.coordinator.fleet, at.config.costs.bill, lambda: at.now_ms)
        span = answers.last(max(1, hours // DAY_H))
        dates = (calendar.day_of(span.start_ms), calendar.day_of(span.end_ms))
        rows += cost_rows(wanted, answers.requests(span, "fleet").totals, dates, calendar.day_of(at.now_ms))
    promised = service_of(wanted, known.get(name), hours * 3600.0, at.config.ledger.bucket_s)
    if promised:
        rows += _promises(at, promised, evidence)
    if wanted.spot_share is not None:
        rows.append(_spot(at, wanted, wanted.spot_share, hours, evidence))
    return rows


def _promises(at: Desk, promised: Service, evidence: Evidence) -> list[Row]:
    measured = measuring(evidence, at.ledger.engine, at.ledger.bucket_ms)(promised, at.now_ms)
    rows = promise_rows(judge(promised, measured, at.now_ms, {}))
    why = {name: evidence.failing.get(query, "") for name, query in promised.queries.items()}
    unasked = "no query measures it: see queries in the targets or the service's section"
    return [
        msgspec.structs.replace(one, sentence=why.get(one.target, unasked) or one.sentence)  # type: ignore[call-overload]
        if one.word == "unknown" and one.target not in measured
        else one
        for one in rows
    ]


def _spot(at: Desk, wanted: Targets, least: float, hours: int, evidence: Evidence) -> Row:
    step_s = max(STEP_S, hours * 3600 / MOST_STEPS)
    query = wanted.queries.get("spot_share")
    if not query:
        return Row(
            "spot_share", f">= {least:g}", None, "unknown", "queries.spot_share of the targets is not set"
        )
    try:
        series = evidence.ask(query, at.now_ms - hours * 3_600_000, at.now_ms, step_s)
    except (EvidenceError, OSError, ValueError) as error:
        return Row("spot_share", f">= {least:g}", None, "unknown", str(error))
    return spot_row(least, series, round(hours * 3600 / step_s), wanted.coverage)


def _show(rows: list[Row]) -> None:
    table = Table("target", "wanted", "measured", "verdict", "by")
    for one in rows:
        table.add_row(one.target, one.wanted, one.measured or "-", one.word, one.sentence)
    console().print(table)


def _read(path: Path) -> Targets:
    return parse_toml(decode_text(path.read_bytes(), str(path)), Targets, name=str(path))


def _hours(window: str) -> int:
    found = re.fullmatch(r"([0-9]{1,4})([hd])", window)
    hours = int(found[1]) * UNITS_H[found[2]] if found else 0
    if not 0 < hours <= LONGEST_H:
        raise ValueError(f"--window {window!r} is no time between 1h and 31d; write 24h or 7d")
    return hours
