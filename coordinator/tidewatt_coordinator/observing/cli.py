"""The `tidewatt discovery` commands: the agents' addresses as a file, where Prometheus can't ask us."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import typer

from tidewatt_coordinator.observing.discovery import TargetGroup
from tidewatt_coordinator.outward import MIB, ask

TIMEOUT_S = 10.0
#: Of the answer: a hundred thousand agents.
MOST_BYTES = 64 * MIB

app = typer.Typer(help="Where Prometheus finds the agents.", no_args_is_help=True)


@app.callback()
def about() -> None:
    """Where Prometheus finds the agents."""


@app.command()
def write(
    out: Annotated[
        Path, typer.Option(help="The file for file_sd_configs, replaced at once.", dir_okay=False)
    ],
    url: Annotated[str, typer.Option(help="The coordinator's.")] = "http://127.0.0.1:8080",
    key_file: Annotated[
        Path | None, typer.Option(help="File whose first line is an API key.", dir_okay=False)
    ] = None,
) -> None:
    """Write the agents' addresses to a file; if it fails the old file stays as it is."""
    head = {"Authorization": f"Bearer {_key(key_file)}"} if key_file else {}
    try:
        with httpx.Client(timeout=TIMEOUT_S) as client:
            where = f"{url.rstrip('/')}/v1/discovery/agents"
            answer = ask(client, "GET", where, MOST_BYTES, headers=head)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RuntimeError(f"{url} does not answer: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise RuntimeError(f"{url} answered {answer.status_code} {answer.reason_phrase}")
    try:
        groups = [TargetGroup.model_validate(one) for one in answer.json()]
    except ValueError as error:
        raise RuntimeError(f"{url} answered what is no list of targets") from error
    _replace(out, msgspec.json.format(msgspec.json.encode([one.model_dump() for one in groups])))
    print(f"{out}: {sum(len(one.targets) for one in groups)} agents")


def _key(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].strip()


def _replace(out: Path, content: bytes) -> None:
    """Put a file there whole: Prometheus may read it at any moment."""
    number, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content + b"\n")
        Path(name).chmod(0o644)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
