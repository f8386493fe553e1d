"""`tidewatt-agent hold`, `leases` and `release`: the person's end of the agent's local socket."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

TIMEOUT_S = 10.0
#: Seconds after which a lease that lasts while a command runs is asked for anew.
RENEW_S, MIN_RENEW_S = 60.0, 0.2


class AgentAwayError(OSError):
    """The agent's socket doesn't answer."""


class Agent:
    """A connection to the agent."""

    def __init__(self, path: str) -> None:
        """Raises AgentAwayError if nobody listens at `path`."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise AgentAwayError(f"no agent answers at {path}: {error.strerror}; see lease.socket") from error
        self._answers = self._socket.makefile("rb")

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer; ValueError with the agent's sentence when it refuses."""
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._answers.readline()
        except OSError as error:
            raise AgentAwayError(f"the agent doesn't answer: {error}") from error
        if not line:
            raise AgentAwayError("the agent closed the connection")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ValueError(f"what listens at the socket is no agent: {line[:60]!r}")  # noqa: TRY004
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def close(self) -> None:
        """Hang up: what was held while connected is released."""
        self._answers.close()
        self._socket.close()


def seconds(text: str) -> float:
    """From `90`, `90s`, `10m`, `2h` or `1d`; ValueError otherwise."""
    number, unit = (text[:-1], text[-1:]) if text[-1:].isalpha() else (text, "s")
    try:
        found = float(number) * {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}[unit]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is no time; write 90s, 10m, 2h or 1d") from None
    if not 1.0 <= found <= 31_536_000.0:  # noqa: PLR2004 - a year
        raise ValueError(f"{text!r} is not between a second and a year")
    return found


def while_running(path: str, request: dict[str, Any], command: Sequence[str]) -> int:
    """Hold while a command runs, however long; its exit code, 128 + n if signal n ended it.

    Raises AgentAwayError or ValueError before it is started, OSError when there is no such command.
    """
    agent: Agent | None = Agent(path)
    for_s = agent.ask(**request, while_connected=True)["for_s"] if agent else 0.0
    with subprocess.Popen(command) as child:
        # The terminal tells the command of Ctrl-C itself; what only we are told is handed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda got, _frame: child.send_signal(got))
        while True:
            try:
                code = child.wait(max(MIN_RENEW_S, min(RENEW_S, for_s / 2.0)))
            except subprocess.TimeoutExpired:
                agent = _renewed(agent, path, request)
            else:
                break
    if agent:
        agent.close()
    return code if code >= 0 else 128 - code


def _renewed(agent: Agent | None, path: str, request: dict[str, Any]) -> Agent | None:
    """The connection with a fresh lease on it; None while the agent is away, which is said once."""
    try:
        fresh = Agent(path)
        fresh.ask(**request, while_connected=True)
    except (OSError, ValueError) as error:
        if agent:
            agent.close()
            sys.stderr.write(f"tidewatt-agent: {error}; the floor isn't held until it is back\n")
        return None
    if agent:
        agent.close()  # the new one stands before the old one goes
    return fresh
