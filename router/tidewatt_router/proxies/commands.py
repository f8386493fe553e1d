"""Commands that are run for their effect, with a deadline and without a shell."""

import subprocess
from collections.abc import Sequence

from tidewatt_router.proxies import CannotApply


def run(command: Sequence[str], timeout_s: float) -> None:
    """Run it; CannotApply with the last thing that it said if it fails. Nothing to run is well."""
    if not command:
        return
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CannotApply(f"{' '.join(command)} took longer than {timeout_s:g} s") from error
    except OSError as error:
        raise CannotApply(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise CannotApply(f"{' '.join(command)} failed: {_said(done.stderr or done.stdout)}")


def _said(output: str) -> str:
    """The line that says what is wrong: the first of emergency, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    grave = [line for line in lines if "[emerg]" in line]
    return (grave or lines[-1:] or ["it said nothing"])[0]
