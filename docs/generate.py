"""Documents made from the product itself: boards.md from the recordings, metrics.md from the collectors,
config.md from the configuration's fields, prices.md from the dated tables, reference.md from a simulation,
cli.md and the manual from the command lines, asyncapi.json and schemas/ from the wire, Grafana's pages from
dashboards.py.

python docs/generate.py          write them
python docs/generate.py --check  exit code 1 if one of them is not what it would write
python docs/generate.py --man    write every page of the manual to build/man
"""

import functools
import logging
import sys
from collections.abc import Callable, Mapping

from commands import programs
from dashboards import DASHBOARDS
from grafana import dashboard_json
from manual import page as page_of_commands
from manual import pages
from pages.boards import boards
from pages.config import config_page
from pages.metrics import metrics
from pages.place import MADE, ROOT
from pages.prices import prices_page
from pages.reference import reference_page
from pages.wire import as_json, schema
from sizing import page as sizing_page

from tidewatt_wire.asyncapi import MESSAGES, asyncapi

# What releases are made from.
sys.path.insert(0, str(ROOT / "packaging"))
from release.notices import page as notices
from release.tree import version

#: Pages that the Debian packages bring.
SHIPPED_PAGES = ("tidewatt-agent.1", "tidewatt-actuator.8", "tidewatt-router.1")


def main() -> None:
    """Write the documents, or say which of them are stale."""
    logging.disable()  # what is refused here is refused on purpose
    typed = programs()
    manual = dict(pages(typed, ROOT / "packaging/deb/changelog", version()))
    if "--man" in sys.argv:
        _write_manual(manual)
        return
    makers: dict[str, Callable[[], str]] = {"docs/boards.md": boards, "docs/metrics.md": metrics}
    makers["docs/config.md"] = config_page
    makers["docs/prices.md"] = prices_page
    makers["docs/reference.md"] = reference_page
    makers["docs/sizing.md"] = functools.partial(sizing_page, MADE)
    makers["docs/NOTICE"] = notices
    makers["docs/cli.md"] = lambda: page_of_commands(MADE, typed)
    for name in SHIPPED_PAGES:
        makers[f"packaging/deb/{name}"] = functools.partial(manual.__getitem__, name)
    makers["docs/asyncapi.json"] = lambda: as_json(asyncapi())
    for name, kind in MESSAGES.items():
        makers[f"docs/schemas/{name}.json"] = functools.partial(schema, kind)
    for board in DASHBOARDS:
        makers[f"packaging/grafana/dashboards/{board.uid}.json"] = functools.partial(dashboard_json, board)
    stale = []
    for name, make in makers.items():
        text, file = make(), ROOT / name
        if "--check" not in sys.argv:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != text:
            stale.append(name)
    for name in stale:
        print(f"{name} is stale: make docs", file=sys.stderr)  # noqa: T201 - a command
    sys.exit(1 if stale else 0)


def _write_manual(manual: Mapping[str, str]) -> None:
    folder = ROOT / "build/man"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in manual.items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
