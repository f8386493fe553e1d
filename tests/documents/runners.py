"""What a make target runs, as text: the tests that its recipe names, and what those type of a document."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.documents.blocks import ROOT
from tests.newcomer.journeys import script

#: Modules that type a document: their part of it, with the usual ports.
TYPES: dict[str, Callable[[], str]] = {
    "tests.newcomer.run": lambda: script(
        "tidewatt", {"8080": 8080, "8883": 8883, "8443": 8443}, {}, root=True
    ),
}


def text_of(runner: str) -> str:
    """All that a target (`make X`), a test or a script runs. ValueError if there is no such thing."""
    if not runner.startswith("make "):
        if not (ROOT / runner).is_file():
            raise ValueError(f"there is no {runner}")
        return (ROOT / runner).read_text("utf-8")
    recipe = recipe_of(runner.removeprefix("make "))
    modules = re.findall(r"-m (tests\.[\w.]+)", recipe)
    files = list(_files(recipe, modules))
    if not files:
        raise ValueError(f"{runner} names no test")
    typed = [TYPES[one]() for one in modules if one in TYPES]
    return "\n".join([*(one.read_text("utf-8") for one in files), *typed])


def recipe_of(target: str) -> str:
    """A target's recipe as the Makefile has it. ValueError if there is none."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    if found is None:
        raise ValueError(f"there is no target {target}")
    return found[1]


def _files(recipe: str, modules: list[str]) -> Iterator[Path]:
    left_out = {ROOT / one for one in re.findall(r"--ignore=(tests/[\w./]+)", recipe)}
    for name in re.findall(r"(?<!=)\btests/[\w./]+", recipe):
        path = ROOT / name
        yield from (one for one in (sorted(path.glob("*.py")) or [path]) if one not in left_out)
    for module in modules:
        yield from sorted((ROOT / module.replace(".", "/")).parent.glob("*.py"))


def as_typed(word: str) -> str:
    """A word of a test as a person types it: `"systemctl", "restart"` is `systemctl restart`."""
    return word.replace('", "', " ").strip('"')
