"""A group of commands that are imported when they are asked for: `tidewatt --help` and completion start
fast, whatever the commands stand on.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as command_of


class Entry:
    """Where a command is, `module:attribute` of a typer application or a function, and its help sentence."""

    def __init__(self, place: str, about: str) -> None:
        self.place, self.about = place, about

    def load(self, name: str) -> TyperCommand | TyperGroup:
        """The command itself."""
        module, _, attribute = self.place.partition(":")
        found: Any = getattr(importlib.import_module(f"tidewatt_coordinator.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer()
            alone.command(name)(found)
            found = alone
        made: Any = command_of(found)
        made.name = name
        # Completion is the program's, not each group's.
        made.params = [one for one in made.params if not (one.name or "").endswith("_completion")]
        return made  # type: ignore[no-any-return] # command_of's own type is click's, which typer may hide


def lazy_group(entries: Mapping[str, Entry]) -> type[TyperGroup]:
    """A class of groups that have these commands, in order of their names."""

    class LazyGroup(TyperGroup):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            # For listings and suggestions, which need no more than the name and the sentence.
            for name, one in entries.items():
                self.commands[name] = TyperCommand(name, help=one.about)

        def list_commands(self, ctx: Any) -> list[str]:
            return sorted(super().list_commands(ctx))

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """For what is really run, or completed."""
            name, found, rest = super().resolve_command(ctx, args)
            if name is not None and name in entries:
                found = entries[name].load(name)
            return name, found, rest

    return LazyGroup
