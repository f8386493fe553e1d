"""The `tidewatt chaos` commands: game days in simulated capacity. Nothing real is touched."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidewatt_coordinator.chaos.spot import Game, Outcome, play, wrong_order
from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.configfile import read_config
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.prices.worked import instances

app = typer.Typer(help="Game days: simulated failures and what they cost.", no_args_is_help=True)

HOURS_PER_MONTH = 730
UNBEARABLE = 1


@app.callback()
def about() -> None:
    """Game days: simulated failures and what they cost."""


@app.command()
def spot(
    nodes: Annotated[int, typer.Option(min=1, max=10_000, help="Of both kinds.")] = 10,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of them on spot.")] = 0.7,
    instance: Annotated[str, typer.Option(help="The nodes' EC2 type, for the price.")] = "c7g.2xlarge",
    region: Annotated[str, typer.Option(help="In the price book.")] = "us-east-1",
    node_rps: Annotated[float, typer.Option(min=0.001, help="What a node serves, requests/s.")] = 100.0,
    traffic_rps: Annotated[float, typer.Option(min=0.001, help="What is asked, requests/s.")] = 700.0,
    wave: Annotated[
        list[str] | None, typer.Option(help="SECOND:NODES interrupted; default: 300:2 and 1500:4.")
    ] = None,
    missed: Annotated[float, typer.Option(min=0, max=1, help="Share of warnings nobody hears.")] = 0.0,
    prestop_s: Annotated[int, typer.Option(min=0, help="The pods' preStop sleep.")] = 25,
    grace_s: Annotated[int, typer.Option(min=0, help="terminationGracePeriodSeconds.")] = 60,
    start_s: Annotated[int, typer.Option(min=0, help="Until a replacement serves.")] = 90,
    bearable: Annotated[float, typer.Option(min=0, max=1, help="Error rate; above it, exit 1.")] = 0.001,
    seed: Annotated[int, typer.Option(help="Of which warnings are missed.")] = 1,
    config: Annotated[Path | None, typer.Option(help="The coordinator's TOML file, for its prices.")] = None,
    json: AsJson = False,
) -> None:
    """Interrupt simulated spot nodes for an hour: error rate, drain time, cost. Nothing real is touched."""
    book = load_book(read_config(config).prices.folder if config else "")
    today = datetime.now(timezone.utc).date()
    month = [instances(book, instance, region, 1, on=today, spot=one) for one in (True, False)]
    on_spot = round(nodes * share)
    game = Game(
        spot_nodes=on_spot,
        on_demand_nodes=nodes - on_spot,
        node_rps=node_rps,
        traffic_rps=traffic_rps,
        waves=[_wave(one) for one in wave or ["300:2", "1500:4"]],
        missed=missed,
        prestop_s=prestop_s,
        grace_s=grace_s,
        start_s=start_s,
        spot_price=float(month[0]) / HOURS_PER_MONTH,
        on_demand_price=float(month[1]) / HOURS_PER_MONTH,
        seed=seed,
    )
    found = play(game)
    if json:
        more = {"error_rate": found.error_rate, "slowest_drain_s": found.slowest_drain_s}
        said = {"game": game, "outcome": msgspec.to_builtins(found) | more, "wrong": wrong_order(game)}
        print(as_json(said))
    else:
        _tell(game, found)
    if found.error_rate > bearable:
        raise typer.Exit(UNBEARABLE)


def _tell(game: Game, found: Outcome) -> None:
    failed = found.failed_draining + found.failed_full
    print(f"simulated: {game.spot_nodes} spot and {game.on_demand_nodes} on-demand nodes, {game.hours:g} h")
    print(
        f"error rate {found.error_rate:.4%}: {failed:,.0f} of {found.asked:,.0f} requests;"
        f" {found.worst_second:.1%} in the worst second, {found.bad_seconds} s with errors"
    )
    print(
        f"  {found.failed_draining:,.0f} at nodes that ended, {found.failed_full:,.0f} beyond what was left"
    )
    heard = sum(one.heard for one in found.drains)
    print(
        f"drain time: {found.slowest_drain_s} s at the longest from warning to silence;"
        f" {len(found.drains)} nodes interrupted, {heard} warnings heard"
    )
    print(
        f"cost {found.cost:.2f} USD, {found.cost_calm:.2f} without interruptions,"
        f" {found.cost_on_demand:.2f} all on demand"
    )
    if found.failed_full and game.react_s + game.notice_s < game.start_s:
        ahead = game.start_s - game.react_s - game.notice_s
        print(
            f"hint: an interrupted node is silent {ahead} s before its replacement serves: spare nodes help"
        )
    for sentence in wrong_order(game):
        print(f"wrong: {sentence}")


def _wave(text: str) -> tuple[int, int]:
    second, _, count = text.partition(":")
    if not (second.isdecimal() and count.isdecimal()):
        raise ValueError(f"--wave {text!r} is not SECOND:NODES")
    return int(second), int(count)
