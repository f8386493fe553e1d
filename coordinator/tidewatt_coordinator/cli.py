"""The `tidewatt` command: how it begins and how it ends. command/contents.py says which commands there are,
command/exits.py what the exit codes mean.
"""

import logging
import sys
from typing import Annotated

import typer

from tidewatt_coordinator.command.contents import COMMANDS
from tidewatt_coordinator.command.exits import FAILED, WRONG
from tidewatt_coordinator.command.lazy import lazy_group

app = typer.Typer(
    help="Tidewatt: run a fleet of Jetsons at the least cost that keeps the latency promise.",
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command and exit; every failure is one sentence."""
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        app()
    except ModuleNotFoundError as error:
        _complain(f"the Python module {error.name!r} is missing; `make run` installs what is needed")
        sys.exit(FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        sys.exit(WRONG if isinstance(error, FileNotFoundError) else FAILED)
    except RuntimeError as error:  # also where it is a ValueError: a ledger that is away
        _complain(str(error).partition("\n")[0])
        sys.exit(FAILED)
    except ValueError as error:  # what a document, a trace, the ledger or an option says that is wrong
        _complain(str(error))
        sys.exit(WRONG)
    except Exception as error:
        if not _of_the_database(error):
            raise
        _complain(str(error).partition("\n")[0])
        sys.exit(FAILED)


def _of_the_database(error: Exception) -> bool:
    """Whether SQLAlchemy raised it; imported only where a command has done so already."""
    if "sqlalchemy" not in sys.modules:
        return False
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    return isinstance(error, SQLAlchemyError)


def _complain(sentence: str) -> None:
    print(f"tidewatt: {sentence}", file=sys.stderr)


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Run a fleet of Jetsons at the least cost that keeps the latency promise."""
    if version:
        from tidewatt_coordinator import VERSION  # noqa: PLC0415 - the package's metadata take a moment

        print(f"tidewatt {VERSION}")
        raise typer.Exit
