"""`tidewatt-agent enable` and `disable`: from observing to acting, with a look first, and back."""

import asyncio
import re
import subprocess
from pathlib import Path

import msgspec

from tidewatt_agent.config import Config
from tidewatt_agent.hands import SocketHands
from tidewatt_agent.recognise import recognise
from tidewatt_agent.rivals import find_rivals
from tidewatt_agent.setup import profile_of
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_link.durable import replace_file
from tidewatt_wire.documents import decode_text

ACTUATOR = "/run/tidewatt/actuator.sock"
#: Below this there is nothing to choose between.
FEWEST_MODES = 2


class Checked(msgspec.Struct, frozen=True):
    """What speaks against acting on this board, and what its owner should know."""

    errors: list[str]
    warnings: list[str]


def check(config: Config, socket: str) -> Checked:
    """Look at the board, its actuator and its neighbours. Nothing is changed."""
    tree = Tree(config.reader.root)
    profile = profile_of(config, recognise(tree))
    if profile is None:
        return Checked(["no operating points are known for this board; set board.profile"], [])
    known = asyncio.run(_modes(socket))
    errors, warnings = [], [f"another hand on this board: {rival}" for rival in find_rivals(tree)]
    if known is None:
        errors.append(
            f"no actuator answers at {socket}; `systemctl status tidewatt-actuator.socket` says more"
        )
    else:
        shared = [point.name for point in profile.points if point.name in known]
        if len(shared) < FEWEST_MODES:
            errors.append(
                f"the board has modes {', '.join(known)}; the profile knows {', '.join(shared) or 'none'}"
            )
    if not config.load:
        warnings.append(
            "no application is named ([[load]]): without its rate the board stays at the safe point"
        )
    return Checked(errors, warnings)


async def _modes(socket: str) -> list[str] | None:
    hands = SocketHands(socket, [])
    try:
        stance = await hands.look()
        return sorted(hands.modes) if stance.seen else None
    finally:
        await hands.close()


def with_control(text: str, control: str, socket: str) -> str:
    """The configuration's text with two keys set, and every comment where it was.

    Raises ValueError where a key isn't in it as a line of its own.
    """
    for section, key, value in (("agent", "control", control), ("board", "actuator_socket", socket)):
        text = with_key(text, section, key, value)
    return text


def with_key(text: str, section: str, key: str, value: str) -> str:
    """The configuration's text with one string set, in its table, which is added where it isn't."""
    lines, here, header = text.splitlines(keepends=True), "", None
    for number, line in enumerate(lines):
        heading = re.match(r"\s*\[([A-Za-z_.]+)\]\s*(#.*)?$", line)
        if heading:
            here = heading[1]
            header = number if here == section else header
        elif here == section and (found := re.match(rf'(\s*{key}\s*=\s*)("[^"]*"|\'[^\']*\')(.*\n?)$', line)):
            lines[number] = f'{found[1]}"{value}"{found[3]}'
            return "".join(lines)
    if header is None:
        return (
            text + ("" if not text or text.endswith("\n") else "\n") + f'\n[{section}]\n{key} = "{value}"\n'
        )
    lines[header] = lines[header].rstrip("\n") + "\n"
    lines.insert(header + 1, f'{key} = "{value}"\n')
    return "".join(lines)


def rewrite(path: Path, control: str, socket: str) -> None:
    """Set both keys in the file, which is replaced whole and keeps its mode."""
    text = decode_text(path.read_bytes(), str(path))
    replace_file(path, with_control(text, control, socket).encode(), path.stat().st_mode & 0o777)


def restart() -> str:
    """Have systemd restart the agent, if it runs here; what to do otherwise, as a sentence."""
    if not Path("/run/systemd/system").is_dir():
        return "restart the agent to let it count"
    done = subprocess.run(
        ["systemctl", "try-restart", "tidewatt-agent.service"], capture_output=True, text=True, check=False
    )
    return (
        "" if done.returncode == 0 else done.stderr.strip() or "systemctl try-restart tidewatt-agent failed"
    )
