"""The `tidewatt dispatch` commands. They work on the database: a running coordinator follows within seconds,
and where none runs the next one does.
"""

import getpass
import uuid
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import Desk, desk
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile
from tidewatt_coordinator.dispatch.table import Table as Weights
from tidewatt_coordinator.steering.book import Book, Kept
from tidewatt_coordinator.steering.choosing import NoTable
from tidewatt_coordinator.steering.explaining import explain
from tidewatt_coordinator.steering.orders import Kind, Order, clock
from tidewatt_coordinator.steering.preview import Changes, preview

app = typer.Typer(help="The routing weights: look at them, and hold them for a while.", no_args_is_help=True)

Hours = Annotated[float, typer.Option(min=0.01, max=24, help="For how long.")]
Why = Annotated[str, typer.Option(help="What others should know.")]
By = Annotated[str, typer.Option(help="Who; default: your user name.")]
HOUR_MS, HOUR_S = 3_600_000, 3600.0


@app.command()
def show(
    config: ConfigFile = DEFAULT_CONFIG,
    history: Annotated[int, typer.Option(min=0, max=10_000, help="So many of the last orders, too.")] = 0,
    json: AsJson = False,
) -> None:
    """Show the table in force, the orders that hold, and who ordered what."""
    with desk(config) as at:
        book = _book(at)
        kept, orders, past = book.last(), book.holding(at.now_ms), book.history(history)
    if json:
        table = kept.message if kept else None
        print(as_json({"table": table, "orders": orders, "history": past}))
        return
    if kept is None:
        print("no table has been published yet")
    else:
        expires = clock(kept.message.expires_at_ms)
        gone = ": it is void, routers use its safe half" if kept.message.expires_at_ms <= at.now_ms else ""
        print(f"epoch {kept.epoch}, good until {expires}{gone}\n{kept.message.reason}")
        console().print(_weights(kept.table, kept.table))
    for order in orders:
        print(f"{order.id}  {order.sentence}{_since(order)}")
    for order in past:
        ended = f", ended by {order.ended_by} at {clock(order.ended_ms)}" if order.ended_ms else ""
        print(f"{clock(order.made_ms)}  {order.id}  {order.sentence}{_since(order)}{ended}")


@app.command("explain")
def explain_table(
    config: ConfigFile = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option("--class", help="Only this class.")] = "",
    most: Annotated[int, typer.Option(min=1, help="Backends of each class to tell of.")] = 20,
    json: AsJson = False,
) -> None:
    """Say why the weights are as they are."""
    with desk(config) as at:
        kept = _last(_book(at))
    names = [one.name for one in kept.facts.classes]
    if name and name not in names:
        raise ValueError(f"there is no class {name!r}; there are: {', '.join(names)}")
    facts = kept.facts
    told = explain(kept.table, facts.backends, facts.classes, facts.terms, kept.currency, name, most)
    sentences = [kept.message.reason, *told]
    print(as_json(sentences) if json else "\n".join(sentences))


@app.command("preview")
def preview_table(
    config: ConfigFile = DEFAULT_CONFIG,
    drain: Annotated[list[str] | None, typer.Option(help="Suppose that this backend gets nothing.")] = None,
    rate: Annotated[list[str] | None, typer.Option(help="Suppose CLASS=RPS.")] = None,
    capacity: Annotated[list[str] | None, typer.Option(help="Suppose BACKEND=RPS.")] = None,
    without_orders: Annotated[bool, typer.Option("--without-orders", help="Suppose no orders.")] = False,
    json: AsJson = False,
) -> None:
    """Show what the next table would be, without motion's bound. Changes nothing."""
    changes = Changes(
        drain=drain or (),
        rates=_pairs(rate or [], "--rate"),
        capacities=_pairs(capacity or [], "--capacity"),
        without_orders=without_orders,
    )
    with desk(config) as at:
        kept, valid_s = _last(_book(at)), at.config.dispatch.valid_s
    try:
        chosen = preview(kept, changes, valid_s)
    except NoTable as error:
        raise ValueError(f"there would be no table: {error}") from error
    before, after = kept.table.certificate.cost * HOUR_S, chosen.table.certificate.cost * HOUR_S
    if json:
        said = {"currency": kept.currency, "now_per_hour": before, "then_per_hour": after}
        print(
            as_json(
                {**said, "then": chosen.table.weights, "reason": chosen.table.reason, "notes": chosen.notes}
            )
        )
        return
    console().print(_weights(kept.table, chosen.table))
    print(f"an hour costs {before:.4f} {kept.currency} now, and {after:.4f} then")
    for sentence in [chosen.table.reason, *chosen.notes]:
        print(sentence)


@app.command()
def freeze(config: ConfigFile = DEFAULT_CONFIG, hours: Hours = 1.0, why: Why = "", by: By = "") -> None:
    """Keep the weights as they are, as far as that is safe: what drains or is overloaded gives way."""
    with desk(config) as at:
        _give(at, "freeze", hours, why, by)


@app.command()
def override(
    config: ConfigFile = DEFAULT_CONFIG,
    nothing_to: Annotated[str, typer.Option(help="This backend gets nothing.")] = "",
    name: Annotated[
        str, typer.Option("--class", help="The class whose weights are given; default: all.")
    ] = "",
    weight: Annotated[
        list[str] | None, typer.Option(help="BACKEND=WEIGHT, in any measure; those not named get nothing.")
    ] = None,
    hours: Hours = 1.0,
    why: Why = "",
    by: By = "",
) -> None:
    """Take everything from a backend, or give the weights of a class, for a time."""
    if bool(nothing_to) == bool(weight):
        raise ValueError("give either --nothing-to BACKEND or one --weight BACKEND=WEIGHT or more")
    weights = _pairs(weight or [], "--weight")
    with desk(config) as at:
        kept = _last(_book(at))
        known = [one.name for one in kept.facts.backends]
        for backend in [nothing_to] if nothing_to else weights:
            if backend not in known:
                raise ValueError(
                    f"there is no backend {backend!r}; there are: {', '.join(sorted(known)[:20])}"
                )
        if name and name not in {one.name for one in kept.facts.classes}:
            raise ValueError(f"there is no class {name!r}")
        if nothing_to:
            _give(at, "drain", hours, why, by, backend=nothing_to)
        else:
            _give(at, "weights", hours, why, by, request_class=name, weights=weights)


@app.command()
def thaw(
    order: Annotated[str, typer.Argument(help="The order's id, or its beginning; default: the freeze.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    by: By = "",
) -> None:
    """Take an order back before its time."""
    with desk(config) as at:
        book = _book(at)
        named = [order] if order else [one.id for one in book.holding(at.now_ms) if one.kind == "freeze"]
        if not named:
            raise ValueError("nothing is frozen; `tidewatt dispatch show` lists the orders that hold")
        for one in named:
            ended = book.end(one, by or getpass.getuser(), at.now_ms)
            print(f"taken back: {ended.sentence}")


def _give(
    at: Desk,
    kind: Kind,
    hours: float,
    why: str,
    by: str,
    backend: str = "",
    request_class: str = "",
    weights: dict[str, float] | None = None,
) -> None:
    order = Order(
        id=uuid.uuid4().hex[:12],
        kind=kind,
        by=by or getpass.getuser(),
        why=why,
        made_ms=at.now_ms,
        until_ms=at.now_ms + round(hours * HOUR_MS),
        backend=backend,
        request_class=request_class,
        weights=weights or {},
    )
    _book(at).order(order)
    print(f"{order.id}  {order.sentence}")


def _book(at: Desk) -> Book:
    return Book(at.ledger.engine, at.config.coordinator.fleet)


def _last(book: Book) -> Kept:
    kept = book.last()
    if kept is None:
        raise ValueError("no table has been published yet; a running coordinator with a key makes the first")
    return kept


def _pairs(texts: list[str], option: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = msgspec.convert(float(value), Amount)
        except (ValueError, msgspec.ValidationError) as error:
            raise ValueError(f"{option} {text!r} is not NAME=NUMBER") from error
        if not name:
            raise ValueError(f"{option} {text!r} is not NAME=NUMBER")
    return found


Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


def _since(order: Order) -> str:
    return f", in force since {clock(order.in_force_ms)}" if order.in_force_ms else ", not in force yet"


def _weights(now: Weights, then: Weights) -> Table:
    shown = Table("class", "backend", "share", *([] if now is then else ["then"]))
    for name in sorted(now.planned_rps.keys() | then.planned_rps.keys()):
        backends = now.weights.get(name, {}).keys() | then.weights.get(name, {}).keys()
        for backend in sorted(backends, key=lambda one: (-now.share(name, one), one)):
            cells = [
                f"{table.share(name, backend):.2%}" for table in ((now,) if now is then else (now, then))
            ]
            shown.add_row(name, backend, *cells)
        refused = [
            f"{table.refused.get(name, 0.0):.2%}" for table in ((now,) if now is then else (now, then))
        ]
        if any(name in table.refused for table in (now, then)):
            shown.add_row(name, "(refused)", *refused)
    return shown
