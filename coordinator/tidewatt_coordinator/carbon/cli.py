"""`tidewatt carbon`: what the fleet's electricity emits, average and marginal side by side, never summed."""

from datetime import datetime, timezone
from decimal import Decimal
from typing import Annotated

import msgspec
import typer

from tidewatt_coordinator.carbon.intensity import HOUR_MS, CarbonError, Emission, emitted
from tidewatt_coordinator.carbon.static import static_factors
from tidewatt_coordinator.carbon.store import keep, kept
from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.electricity.edge import device_hours, known_labels
from tidewatt_coordinator.electricity.files import SITE, load_sites
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger

app = typer.Typer(help="The carbon of the fleet's electricity.", no_args_is_help=True)

Until = Annotated[str, typer.Option(help="UTC, such as 2026-11-21T12:00; default: now.")]
Hours = Annotated[int, typer.Option(min=1, max=24 * 400, help="How many hours back.")]


@app.command()
def zones(json: AsJson = False) -> None:
    """List the shipped zones with their yearly averages: zone, g/kWh, year."""
    factors = static_factors()
    if json:
        print(as_json(list(factors.values())))
        return
    for factor in factors.values():
        print(f"{factor.zone}  {factor.grams_per_kwh:4}  {factor.year}")
    print(f"{len(factors)} zones, averages: {next(iter(factors.values())).source}")


@app.command()
def fetch(
    zone: Annotated[str, typer.Option(help="The source's own name of the zone.")],
    marginal: Annotated[bool, typer.Option("--marginal", help="Marginal, of WattTime.")] = False,
    hours: Hours = 24,
    until: Until = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Ask Electricity Maps, or WattTime with --marginal, and keep the answer in the ledger."""
    from tidewatt_coordinator.carbon.asking import ask  # noqa: PLC0415 - other commands start fast

    settings = read_config(config)
    until_ms = _until_ms(until)
    found = ask(
        settings.carbon, zone, until_ms - hours * HOUR_MS, until_ms, now_ms=_until_ms(""), marginal=marginal
    )
    ledger = _ledger(settings)
    try:
        count = keep(ledger.engine, found)
    finally:
        ledger.close()
    kind = "marginal" if marginal else "average"
    print(f"{zone}: {count} {kind} intensities of {hours} hours")


@app.command()
def show(
    hours: Hours = 24, until: Until = "", config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False
) -> None:
    """Show what each site's energy emitted: by the average, and by the marginal where it is known."""
    settings = read_config(config)
    until_ms = _until_ms(until) // HOUR_MS * HOUR_MS
    from_ms = until_ms - hours * HOUR_MS
    zones_of = {site.name: site.carbon_zone for site in load_sites(settings.edge.sites).site}
    ledger = _ledger(settings)
    try:
        roll_up(ledger)  # it may be that no coordinator runs
        labels = known_labels(ledger, settings.coordinator.fleet)
        energy: dict[str, dict[int, int]] = {}
        for row in device_hours(ledger, from_ms, until_ms):
            hours_of = energy.setdefault(labels.get(row.device, {}).get(SITE, ""), {})
            hours_of[row.hour_ms] = hours_of.get(row.hour_ms, 0) + row.energy_mj
        rows = [
            _emitted(ledger, site, zones_of.get(site, ""), used, from_ms, until_ms)
            for site, used in sorted(energy.items())
        ]
    finally:
        ledger.close()
    if json:
        print(as_json(rows))
        return
    for one in rows:
        name, told = one.site or "(no site)", "no carbon_zone"
        if one.average and one.marginal:
            told = f"{one.zone}: {_told(one.average, one.energy_mj)}; {_told(one.marginal, one.energy_mj)}"
        print(f"{name}: {told}")


class _Row(msgspec.Struct, frozen=True):
    site: str
    zone: str
    energy_mj: int
    average: Emission | None = None
    marginal: Emission | None = None


def _emitted(ledger: Ledger, site: str, zone: str, used: dict[int, int], from_ms: int, until_ms: int) -> _Row:
    """What a site's energy by hour emitted; without a zone nobody knows."""
    energy_mj = sum(used.values())
    if not zone:
        return _Row(site, zone, energy_mj)
    average = kept(ledger.engine, zone, "average", from_ms, until_ms)
    marginal = kept(ledger.engine, zone, "marginal", from_ms, until_ms)
    return _Row(
        site,
        zone,
        energy_mj,
        emitted(used, average, "average", static_factors().get(zone)),
        emitted(used, marginal, "marginal"),
    )


def _told(emission: Emission, energy: int) -> str:
    known = energy - emission.unknown_mj
    if not known:
        return f"{emission.kind} unknown"
    parts = [f"{emission.kind} {emission.grams / 1000:.3f} kg"]
    if emission.static_mj:
        parts.append(f"{_percent(emission.static_mj, energy)} by the year's average")
    if emission.unknown_mj:
        parts.append(f"{_percent(emission.unknown_mj, energy)} unknown")
    return ", ".join(parts)


def _percent(part: int, whole: int) -> str:
    return f"{Decimal(100 * part) / whole:.0f} %"


def _ledger(settings: Config) -> Ledger:
    return Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)


def _until_ms(text: str) -> int:
    try:
        at = datetime.fromisoformat(text) if text else datetime.now(timezone.utc)
    except ValueError as error:
        raise CarbonError(f"--until {text!r} is not a time like 2026-11-21T12:00") from error
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return round(at.timestamp() * 1000)
