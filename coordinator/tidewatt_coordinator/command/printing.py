"""How commands print: JSON by one rule, tables that a pipe doesn't cut, progress where somebody looks.

The rule of --json: a list of rows, or an object that begins with its `schema` version. Amounts of money are
strings in plain digits, missing is null, and units stand in the names.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tidewatt_wire.strangers import one_line

#: Of every object that --json prints; it rises when a key goes or changes its meaning, not when one comes.
SCHEMA = 1

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: a list, or an object with its schema.")]


def as_json(value: object) -> str:
    """A value as JSON that people can read, too."""
    plain = _plain(msgspec.to_builtins(value, builtin_types=(Decimal,)))
    if isinstance(plain, dict):
        plain = {"schema": SCHEMA} | plain
    return msgspec.json.format(msgspec.json.encode(plain)).decode()


class _Plain(Console):
    """Text is what it says: names of others give rich no orders, and the terminal none."""

    def render_str(self, text: str, **more: Any) -> Text:
        """As rich's; a line's end is one."""
        return super().render_str("\n".join(one_line(line) for line in text.split("\n")), **more)


def console() -> Console:
    """Wide where nobody looks: a table in a pipe must not be cut."""
    return _Plain(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on standard error that a long work is on its way, if that is a terminal; else stay silent."""
    shown = Console(stderr=True)
    if not shown.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def _plain(value: Any) -> Any:
    """Amounts as digits: a Decimal's own string of a small one is 0E-12."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
