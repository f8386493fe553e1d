"""`tidewatt tariff`: what a tariff's file says, hour by hour."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.electricity.dayahead import midnight_ms
from tidewatt_coordinator.electricity.files import load_clockwork

app = typer.Typer(help="Electricity tariffs.", no_args_is_help=True)

File = Annotated[Path | None, typer.Argument(help="A tariff's TOML file; default: the shipped flat one.")]


@app.command()
def check(file: File = None) -> None:
    """Say what is wrong with a tariff's file."""
    tariff = load_clockwork(str(file or "")).tariff
    print(f"{tariff.name}: good; {tariff.currency}, from {tariff.valid_from} on, {tariff.source}")


@app.command()
def show(
    file: File = None,
    day: Annotated[str, typer.Option(help="YYYY-MM-DD by the tariff's clock; default: today.")] = "",
    json: AsJson = False,
) -> None:
    """Show the prices of a day: from when, for how many minutes, per kWh, and why."""
    clockwork = load_clockwork(str(file or ""))
    try:
        local = date.fromisoformat(day) if day else datetime.now(clockwork.zone).date()
    except ValueError as error:
        raise ValueError(f"--day {day!r} is not a day like 2026-11-21") from error
    start, end = (midnight_ms(one, clockwork.zone) for one in (local, local + timedelta(days=1)))
    rates = clockwork.rates(start, end)
    if json:
        print(as_json({"currency": clockwork.tariff.currency, "rates": list(rates)}))
        return
    for rate in rates:
        at = datetime.fromtimestamp(rate.start_ms / 1000, timezone.utc).astimezone(clockwork.zone)
        length = (rate.end_ms - rate.start_ms) // 60_000
        price = f"{rate.price_per_kwh:f} {clockwork.tariff.currency}"
        print(f"{at.isoformat(timespec='minutes')}  {length:5} min  {price}  {rate.name}")
