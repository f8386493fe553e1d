"""The shape of every benchmark's result, its table and its file."""

from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `target` is None for a figure that is only shown; then `met` is None too."""

    name: str
    value: float
    unit: str
    target: float | None
    better: Literal["higher", "lower"]
    against: str
    """What the figure is measured beside, in the same run."""
    met: bool | None = None

    @classmethod
    def judged(
        cls,
        name: str,
        value: float,
        unit: str,
        *,
        better: Literal["higher", "lower"] = "lower",
        target: float | None = None,
        against: str = "",
    ) -> "Result":
        """A figure with its verdict."""
        met = None if target is None else (value <= target if better == "lower" else value >= target)
        return cls(name=name, value=value, unit=unit, target=target, better=better, against=against, met=met)


def publish(name: str, results: list[Result]) -> bool:
    """Print the table and write the file; False if a target was missed."""
    table = Table(title=f"bench-{name}", title_justify="left")
    for heading in ("figure", "value", "unit", "target", "met", "against"):
        table.add_column(heading, justify="right" if heading in ("value", "target") else "left")
    for result in results:
        sign = "≤" if result.better == "lower" else "≥"
        table.add_row(
            result.name,
            f"{result.value:,.3g}" if abs(result.value) < 1000 else f"{result.value:,.0f}",  # noqa: PLR2004
            result.unit,
            "" if result.target is None else f"{sign} {result.target:g}",
            {True: "yes", False: "NO", None: ""}[result.met],
            result.against,
        )
    Console().print(table)
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    return all(result.met is not False for result in results)
