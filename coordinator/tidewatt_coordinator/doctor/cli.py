"""The `tidewatt doctor` command. It needs no running coordinator, and disturbs none."""

from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from tidewatt_coordinator.command.exits import FAILED
from tidewatt_coordinator.command.printing import AsJson, as_json, working
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.doctor.broker import broker
from tidewatt_coordinator.doctor.database import database
from tidewatt_coordinator.doctor.finding import Finding, well
from tidewatt_coordinator.doctor.surroundings import (
    certificates,
    cloud,
    keys,
    port,
    prometheus,
    sleep_words,
)

CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    database,
    broker,
    keys,
    certificates,
    sleep_words,
    port,
    prometheus,
    cloud,
)


def doctor(
    config: ConfigFile = DEFAULT_CONFIG,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings, too, make the exit code 1.")] = False,
    json: AsJson = False,
) -> None:
    """Say what keeps the coordinator from its work, and what to do; exit code 1 if anything does."""
    settings = read_config(config)
    found = [Finding("config", "ok", f"{config} is valid")]
    with working("looking"):
        for check in CHECKS:
            found += check(settings)
    if json:
        print(as_json(found))
    for one in [] if json else found:
        print(f"{one.level:8} {one.id:20} {one.sentence}")
        if one.remedy and one.level != "ok":
            print(f"{'':29} -> {one.remedy}")
    if not well(found, strict=strict):
        raise typer.Exit(FAILED)
