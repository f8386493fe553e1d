"""The `tidewatt` command.

Exit codes: 0 done, 1 it failed while working, 2 the command line or a file is wrong.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.alerts.cli import app as alerts_app
from tidewatt_coordinator.anomalies.cli import app as anomalies_app
from tidewatt_coordinator.audit.cli import app as audit_app
from tidewatt_coordinator.budgets.cli import app as budget_app
from tidewatt_coordinator.carbon.cli import app as carbon_app
from tidewatt_coordinator.chaos.cli import app as chaos_app
from tidewatt_coordinator.config import host_port
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs.cli import app as costs_app
from tidewatt_coordinator.electricity.cli import app as tariff_app
from tidewatt_coordinator.hinting.cli import app as plan_app
from tidewatt_coordinator.keys.cli import app as keys_app
from tidewatt_coordinator.ledger.cli import app as ledger_app
from tidewatt_coordinator.ledger.store import LedgerError
from tidewatt_coordinator.models.cli import app as model_app
from tidewatt_coordinator.pki.cli import app as enroll_app
from tidewatt_coordinator.prices.cli import app as prices_app
from tidewatt_coordinator.proposals.cli import app as recommend_app
from tidewatt_coordinator.proposals.cli import freeze, unfreeze
from tidewatt_coordinator.questions.cli import app as cost_app
from tidewatt_coordinator.reports.cli import report
from tidewatt_coordinator.rollout.cli import app as policy_app
from tidewatt_coordinator.simulate.cli import app as simulate_app
from tidewatt_coordinator.steering.cli import app as dispatch_app
from tidewatt_governor.traffic import TraceError
from tidewatt_wire.documents import DocumentError, to_toml

FAILED, WRONG = 1, 2

app = typer.Typer(
    help="Tidewatt: run a fleet of Jetsons at the least cost that keeps the latency promise.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Print or validate the configuration.", no_args_is_help=True)
app.add_typer(alerts_app, name="alerts")
app.add_typer(anomalies_app, name="anomalies")
app.add_typer(audit_app, name="audit")
app.add_typer(budget_app, name="budget")
app.add_typer(carbon_app, name="carbon")
app.add_typer(chaos_app, name="chaos")
app.add_typer(config_app, name="config")
app.add_typer(cost_app, name="cost")
app.add_typer(costs_app, name="costs")
app.add_typer(dispatch_app, name="dispatch")
app.add_typer(enroll_app, name="enroll")
app.add_typer(keys_app, name="keys")
app.add_typer(ledger_app, name="ledger")
app.add_typer(model_app, name="model")
app.add_typer(plan_app, name="plan")
app.add_typer(policy_app, name="policy")
app.add_typer(prices_app, name="prices")
app.add_typer(recommend_app, name="recommend")
app.add_typer(simulate_app, name="simulate")
app.add_typer(tariff_app, name="tariff")
app.command()(freeze)
app.command()(unfreeze)
app.command()(report)


def main() -> None:
    """Run the command and exit; every failure is one sentence."""
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        app()
    except (DocumentError, TraceError, LedgerError, ValueError) as error:
        _complain(str(error))
        sys.exit(WRONG)
    except FileNotFoundError as error:
        _complain(f"{error.filename}: {error.strerror}")
        sys.exit(WRONG)
    except ModuleNotFoundError as error:
        _complain(f"the Python module {error.name!r} is missing; `make run` installs what is needed")
        sys.exit(FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        sys.exit(FAILED)
    except (RuntimeError, SQLAlchemyError) as error:
        _complain(str(error).partition("\n")[0])
        sys.exit(FAILED)


def _complain(sentence: str) -> None:
    print(f"tidewatt: {sentence}", file=sys.stderr)


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Run a fleet of Jetsons at the least cost that keeps the latency promise."""
    if version:
        print(f"tidewatt {VERSION}")
        raise typer.Exit


@app.command()
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
    from tidewatt_coordinator.demo.run import Options  # noqa: PLC0415 - other commands start fast
    from tidewatt_coordinator.demo.run import run as run_demo  # noqa: PLC0415

    host_port(listen)
    if json is not None:
        if not json.resolve().parent.is_dir():
            raise FileNotFoundError(2, "No such directory", str(json.parent))
        json.open("a").close()  # what can't be written is said now, not when the day is over
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
        _complain("the ledger's energy is not the devices' energy: this is a defect, please report it")
        raise typer.Exit(FAILED)


@app.command()
def serve(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Be the coordinator, until stopped."""
    from tidewatt_coordinator.app import serve as serve_coordinator  # noqa: PLC0415

    logging.getLogger("tidewatt_coordinator").setLevel(logging.INFO)
    asyncio.run(serve_coordinator(read_config(config)))


@app.command()
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
    epochs: Annotated[int, typer.Option(min=1, max=1000)] = 16,
    share: Annotated[float, typer.Option(min=0.1, max=0.85, help="Learn from the first share only.")] = 0.85,
    seed: int = 0,
    compare: Annotated[bool, typer.Option(help="Fit LightGBM, too, to compare with.")] = True,
) -> None:
    """Train a forecasting model from a history of traffic; needs the extra tidewatt-coordinator[train]."""
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


@config_app.command("print")
def config_print(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Print the configuration in force, defaults included."""
    print(to_toml(read_config(config)), end="")


@config_app.command("validate")
def config_validate(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Say what is wrong with a configuration file."""
    read_config(config)
    print(f"{config}: good")
