"""`tidewatt ledger`: what the ledger keeps. Works whether a coordinator runs or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.units import watt_hours

app = typer.Typer(help="What the ledger keeps.", no_args_is_help=True)


@app.command("quarantine")
def quarantine(
    config: ConfigFile = DEFAULT_CONFIG,
    device: Annotated[str, typer.Option(help="This device's only.")] = "",
    most: Annotated[int, typer.Option(min=1, max=100_000, help="So many at the most.")] = 100,
    json: AsJson = False,
) -> None:
    """List the reports that can't be true, newest first, with the reason."""
    from tidewatt_coordinator.ledger.intake import in_quarantine  # noqa: PLC0415 - other commands start fast

    with _opened(config) as ledger:
        found = in_quarantine(ledger, device, most)
    if json:
        print(as_json(found))
        return
    for one in found:
        print(f"{_moment(one.came_ms)}  {one.device}  {one.code}: {one.reason}")
    if not found:
        print("nothing is in quarantine")


@app.command("group")
def group(
    by: Annotated[list[str], typer.Argument(help="device, site, hour, day, month, hour_of_day, weekday.")],
    config: ConfigFile = DEFAULT_CONFIG,
    days: Annotated[float, typer.Option(min=0.04, max=36_500, help="How far back.")] = 90.0,
) -> None:
    """Energy and requests of the rolled up hours, grouped by whatever is named; one JSON object a line."""
    from tidewatt_coordinator.ledger.adhoc import HourCopy  # noqa: PLC0415 - DuckDB is large
    from tidewatt_coordinator.ledger.arithmetic import COUNTERS  # noqa: PLC0415

    folder = read_config(config).ledger.hours_folder
    if not folder:
        raise ValueError("ledger.hours_folder is empty: name the folder where the copy of the hours is kept")
    with _opened(config) as ledger:
        copy = HourCopy(ledger, Path(folder))
        now_ms = int(datetime.now(timezone.utc).timestamp() * 1000)
        for row in copy.group(by, now_ms - round(days * 86_400_000), now_ms):
            print(msgspec.json.encode(dict(zip([*by, *COUNTERS], row, strict=True))).decode())


@app.command("asleep")
def asleep(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """List the time and energy asleep by device, and what modes and sleep saved the fleet; all estimates."""
    from tidewatt_coordinator.ledger.compared import sums_by_name  # noqa: PLC0415
    from tidewatt_coordinator.ledger.saved import saved  # noqa: PLC0415

    with _opened(config) as ledger:
        devices, found = ledger.asleep(), saved(sums_by_name(ledger))
    if json:
        slept = [
            {"device": name, "asleep_mj": one.energy_mj, "asleep_ms": one.ms} for name, one in devices.items()
        ]
        print(as_json({"devices": slept, "saved": found}))
        return
    for device, one in devices.items():
        print(f"{device}  {one.ms / 3_600_000:.1f} h  {watt_hours(one.energy_mj):.1f} Wh")
    if not devices:
        print("no board has slept yet")
    elif found:
        modes, sleep = watt_hours(found.by_modes_mj), watt_hours(found.by_sleep_mj)
        print(f"against the vendor's default mode sleep saved {sleep:,.1f} Wh, power modes {modes:,.1f} Wh")


@contextmanager
def _opened(config: Path) -> Iterator[Ledger]:
    settings = read_config(config)
    ledger = Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)
    try:
        yield ledger
    finally:
        ledger.close()


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
