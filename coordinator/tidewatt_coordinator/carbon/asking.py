"""Asking the source of a kind of intensity, with the keys that the configuration names."""

from pathlib import Path

import httpx

from tidewatt_coordinator.carbon.intensity import CarbonError, Intensity
from tidewatt_coordinator.carbon.sources import ElectricityMaps, Source, WattTime
from tidewatt_coordinator.config import Carbon
from tidewatt_wire.documents import decode_text

TIMEOUT_S = 30.0


def ask(
    settings: Carbon, zone: str, from_ms: int, to_ms: int, *, now_ms: int, marginal: bool
) -> list[Intensity]:
    """A zone's intensities that begin in [from_ms, to_ms), of Electricity Maps or, marginal, of WattTime.

    Raises CarbonError if they can't be had, OSError for a key's file that can't be read.
    """
    with httpx.Client(timeout=TIMEOUT_S) as client:
        source = _source(settings, client, now_ms, marginal=marginal)
        return list(source.intensities(zone, from_ms, to_ms))


def _source(settings: Carbon, client: httpx.Client, now_ms: int, *, marginal: bool) -> Source:
    if marginal:
        if not settings.watttime_user or not settings.watttime_password_file:
            raise CarbonError(
                "carbon.watttime_user and carbon.watttime_password_file are needed for WattTime"
            )
        password = _secret(settings.watttime_password_file)
        return WattTime(client, settings.watttime_url, settings.watttime_user, password)
    if not settings.electricity_maps_key_file:
        raise CarbonError("carbon.electricity_maps_key_file is needed for Electricity Maps")
    key = _secret(settings.electricity_maps_key_file)
    return ElectricityMaps(client, settings.electricity_maps_url, key, now_ms)


def _secret(file: str) -> str:
    """The one line of a file."""
    secret = decode_text(Path(file).read_bytes(), file).strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise CarbonError(f"{file} does not hold a key: one line of ASCII is expected")
    return secret
