"""Tariffs, sites and what they name, from files."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path

from tidewatt_coordinator.electricity.charges import FOR_EVER_MS, Place
from tidewatt_coordinator.electricity.dayahead import midnight_ms, parse_day_ahead
from tidewatt_coordinator.electricity.rates import HOUR_MS, Clockwork
from tidewatt_coordinator.electricity.sites import Site, Sites
from tidewatt_coordinator.electricity.tariff import parse_tariff
from tidewatt_wire.documents import DocumentError, decode_text, parse_toml
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR

#: The label that says where a device is.
SITE = "site"


def load_clockwork(path: str) -> Clockwork:
    """The tariff in a TOML file with its day-ahead prices; an empty path is the shipped flat one.

    Raises DocumentError for what is wrong in a file, OSError if one can't be read.
    """
    if path:
        text = decode_text(Path(path).read_bytes(), path)
    else:
        text = resources.files("tidewatt_coordinator.data.tariffs").joinpath("flat.toml").read_text("utf-8")
    tariff = parse_tariff(text, path or "flat.toml")
    clockwork = Clockwork(tariff)
    if tariff.day_ahead is None:
        return clockwork
    file = Path(path).parent / tariff.day_ahead.file
    try:
        prices = parse_day_ahead(_rows(file), clockwork.zone)
    except ValueError as error:
        raise DocumentError(f"{file}, {error}") from error
    return Clockwork(tariff, prices)


def load_sites(path: str) -> Sites:
    """The sites in a TOML file, none for an empty path; DocumentError or OSError as for a tariff."""
    if not path:
        return Sites()
    sites = parse_toml(decode_text(Path(path).read_bytes(), path), Sites, name=path)
    for sentence in sites.wrong():
        raise DocumentError(f"{path}: {sentence}")
    return sites


def load_places(path: str, tariff: str, devices: Mapping[str, Mapping[str, str]]) -> list[Place]:
    """Every site ready to reckon with, once per tariff; `devices` are those known, with their labels.

    Devices of a site that the file does not have pay `tariff`, and nothing else: their place has
    the label's name, "" where a device has none.
    """
    sites = load_sites(path)
    folder = Path(path).parent
    known = {site.name: site for site in sites.site}
    at_site: dict[str, dict[str, Mapping[str, str]]] = {}
    for device, labels in devices.items():
        name = labels.get(SITE, "")
        known.setdefault(name, Site(name=name))
        at_site.setdefault(name, {})[device] = labels
    places = []
    clockworks: dict[str, Clockwork] = {}
    for name, site in known.items():
        here = at_site.get(name, {})
        found = {device: sites.hardware_of(labels) for device, labels in here.items()}
        hardware = {device: one for device, one in found.items() if one is not None}
        named = [site.tariff] if isinstance(site.tariff, str) else site.tariff
        files = [str(folder / file) for file in named if file] or [tariff]
        made = load_made(folder / site.solar) if site.solar else {}
        for file in files:
            if str(file) not in clockworks:
                clockworks[str(file)] = load_clockwork(str(file))
        for clockwork, from_ms, to_ms in _in_turn([clockworks[str(file)] for file in files]):
            places.append(
                Place(
                    site=site,
                    clockwork=clockwork,
                    made_mj=made,
                    from_ms=from_ms,
                    to_ms=to_ms,
                    hardware=hardware,
                )
            )
    return places


def files_of(path: str, tariff: str) -> list[Path]:
    """Every file that `load_places` reads; DocumentError or OSError as there."""
    found, folder = [Path(file) for file in (path, tariff) if file], Path(path).parent
    for site in load_sites(path).site:
        named = [site.tariff] if isinstance(site.tariff, str) else site.tariff
        found += [folder / file for file in (*named, site.solar) if file]
    for file in list(dict.fromkeys(found)):
        if file.suffix == ".toml" and file != Path(path):
            market = load_clockwork(str(file)).tariff.day_ahead
            found += [file.parent / market.file] if market else []
    return list(dict.fromkeys(found))


def _in_turn(clockworks: list[Clockwork]) -> Iterator[tuple[Clockwork, int, int]]:
    """The tariffs by their days, with the times from and until which each holds."""
    ordered = sorted(clockworks, key=lambda one: one.tariff.valid_from)
    starts = [midnight_ms(one.tariff.valid_from, one.zone) for one in ordered]
    yield from zip(ordered, [0, *starts[1:]], [*starts[1:], FOR_EVER_MS], strict=True)


def load_made(file: Path) -> dict[int, int]:
    """What a plant made by hour, mJ, from a CSV start,kwh; readings within an hour add up."""
    made: dict[int, int] = {}
    for number, row in enumerate(_rows(file), 1):
        if number == 1 or not row:
            continue
        try:
            start, kwh = row
            at = datetime.fromisoformat(start.strip().replace("Z", "+00:00"))
            mj = int(Decimal(kwh.strip()) * MILLIJOULES_PER_KILOWATT_HOUR)
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise DocumentError(f"{file}, line {number}: not a start and its kWh: {','.join(row)}") from error
        if at.tzinfo is None or mj < 0:
            raise DocumentError(f"{file}, line {number}: needs an offset from UTC and no negative energy")
        start_ms = round(at.timestamp() * 1000)
        hour_ms = start_ms - start_ms % HOUR_MS
        made[hour_ms] = made.get(hour_ms, 0) + mj
    return made


def _rows(file: Path) -> Iterable[list[str]]:
    text = decode_text(file.read_bytes(), str(file))
    try:
        return list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise DocumentError(f"{file}: {error}") from error
