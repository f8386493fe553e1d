"""The shipped yearly averages by zone."""

import csv
from decimal import Decimal
from functools import cache
from importlib import resources
from types import MappingProxyType

from tidewatt_coordinator.carbon.intensity import Factor


@cache
def static_factors() -> MappingProxyType[str, Factor]:
    """Every zone's average; zones are country codes as Electricity Maps has them."""
    text = resources.files("tidewatt_coordinator.data.carbon").joinpath("average.csv").read_text("utf-8")
    lines = text.splitlines()
    facts = [line for line in lines if line.startswith("#")]
    source = next(line.partition(":")[2].strip() for line in facts if line.startswith("# source:"))
    factors = {
        row["zone"]: Factor(
            zone=row["zone"],
            grams_per_kwh=Decimal(row["grams_per_kwh"]),
            year=int(row["year"]),
            source=source,
        )
        for row in csv.DictReader(lines[len(facts) :])
    }
    return MappingProxyType(factors)
