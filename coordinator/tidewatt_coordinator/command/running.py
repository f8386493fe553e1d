"""`tidewatt run`, `serve` and `train`: what takes long. Their parts are imported when they are run."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.command.exits import FAILED
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, BrokerRequired, ConfigFile, read_config

UNLIKE = "the ledger's energy is not the devices' energy: this is a defect, please report it"


def run(
    devices: Annotated[
        int, typer.Option(min=1, max=50, help="Simulated boards, each with a real agent.")
    ] = 5,
    speed: Annotated[float, typer.Option(min=0.1, max=3600, help="Virtual seconds per real second.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="End with the day; else it begins anew.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="timestamp,requests_per_minute CSV; default: the bundled day.", dir_okay=False),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the summary to this file.", dir_okay=False)] = None,
    listen: Annotated[str, typer.Option(help="host:port of the page.")] = "127.0.0.1:8080",
    broker_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the embedded broker; default: a free one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated arrivals.")] = 1,
) -> None:
    """Run a fleet of simulated boards through a real day of traffic, every process a real one."""
    from tidewatt_coordinator.broker import HOST, check_port_free, listening_socket  # noqa: PLC0415
    from tidewatt_coordinator.config import host_port  # noqa: PLC0415

    # What was typed wrong is said before the rest is loaded, by the option's name, not the setting's.
    with listening_socket(*host_port(listen), "--listen"):
        if broker_port is not None:
            check_port_free(HOST, broker_port, "--broker-port")
    if json is not None:
        if not json.resolve().parent.is_dir():
            raise FileNotFoundError(2, "No such directory", str(json.parent))
        json.open("a").close()  # what can't be written is said now, not when the day is over
    from rich.console import Console  # noqa: PLC0415 - other commands start fast

    from tidewatt_coordinator.demo.run import Options  # noqa: PLC0415 - other commands start fast
    from tidewatt_coordinator.demo.run import run as run_demo  # noqa: PLC0415

    options = Options(
        devices=devices,
        speed=speed,
        once=once,
        trace=trace,
        json=json,
        listen=listen,
        broker_port=broker_port,
        seed=seed,
    )
    if not asyncio.run(run_demo(options, Console())):
        typer.echo(f"tidewatt: {UNLIKE}", err=True)
        raise typer.Exit(FAILED)


def serve(config: ConfigFile = DEFAULT_CONFIG, broker_required: BrokerRequired = False) -> None:
    """Be the coordinator, until stopped."""
    from tidewatt_coordinator.app import serve as serve_coordinator  # noqa: PLC0415
    from tidewatt_coordinator.observing import logs, tracing  # noqa: PLC0415

    found = read_config(config, broker_required=broker_required)
    logs.begin(found.log)
    with tracing.exporting(found.tracing):
        asyncio.run(serve_coordinator(found))


def train(
    out: Annotated[Path, typer.Option(help="The .onnx file to write; its card is written beside it.")],
    csv: Annotated[
        Path | None, typer.Option(help="Folder of timestamp,requests_per_minute files.", file_okay=False)
    ] = None,
    prometheus: Annotated[str | None, typer.Option(help="Base URL of a Prometheus.")] = None,
    query: Annotated[
        str, typer.Option(help="PromQL of requests/s, one series per model device or service.")
    ] = "sum(rate(akidb_requests_total[1m]))",
    days: Annotated[float, typer.Option(min=0.1, max=400, help="How far back to ask Prometheus.")] = 14.0,
    ledger: Annotated[
        str | None, typer.Option(help="URL of a ledger, sqlite:///FILE or postgresql+psycopg://.")
    ] = None,
    bucket_s: Annotated[int, typer.Option(min=1, max=86_400, help="The ledger's bucket length.")] = 300,
    zone: Annotated[str, typer.Option(help="Time zone of the traffic's people.")] = "UTC",
    kind: Annotated[str, typer.Option(help="habit (small networks) or lstm (128-64-32).")] = "habit",
    epochs: Annotated[
        int, typer.Option(min=1, max=1000, help="Times that the history is gone through.")
    ] = 16,
    share: Annotated[float, typer.Option(min=0.1, max=0.85, help="Learn from the first share only.")] = 0.85,
    seed: Annotated[int, typer.Option(help="Of what is left to chance.")] = 0,
    compare: Annotated[bool, typer.Option(help="Fit LightGBM, too, to compare with.")] = True,
) -> None:
    """Train a forecasting model from a history of traffic; needs the wheel's extra `train`."""
    from tidewatt_coordinator.train.asked import Sources, read_sources  # noqa: PLC0415 - torch is heavy
    from tidewatt_coordinator.train.run import Wanted  # noqa: PLC0415
    from tidewatt_coordinator.train.run import train as train_model  # noqa: PLC0415

    if out.suffix != ".onnx" or not out.resolve().parent.is_dir():
        raise ValueError(f"--out {out}: name a file that ends in .onnx, in a folder that exists")
    if kind not in ("habit", "lstm"):
        raise ValueError(f"--kind {kind!r} is neither habit nor lstm")
    asked = Sources(
        csv=csv, prometheus=prometheus, query=query, days=days, ledger=ledger, bucket_s=bucket_s, zone=zone
    )
    wanted = Wanted(
        out=out,
        kind="lstm" if kind == "lstm" else "habit",
        epochs=epochs,
        share=share,
        seed=seed,
        compare=compare,
    )
    train_model(read_sources(asked), wanted, lambda line: print(line, flush=True))
