"""The three journeys of docs/operate.md as shell scripts that time each line."""

import shlex
from collections.abc import Iterator

from tests.documents.blocks import ROOT, Block, Typed, blocks, commands, is_shell

PAGE = "docs/operate.md"
#: What each journey's last lines must show; who waits for it types the line again.
SHOWN = {
    "tidewatt fleet ls --config coordinator.toml": "jetson-17",
    "tidewatt recommend ls --config coordinator.toml": "s3://shop",
}
#: Where a journey ends, and its name.
ENDS = {
    "make run ": "demo",
    "tidewatt fleet ls ": "enrolled board",
    "tidewatt recommend history ": "driver's dry run",
}
#: Lines that change the shell itself, or go on beside it.
ITSELF = ("cd ", ". ", "export ", "pip ")
#: Packages need root's path, which sudo gives, and a user has not.
SUDO = "env PATH=/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE_S = 600
PRELUDE = """\
set -u
trap 'kill $(jobs -p) 2>/dev/null' EXIT
tell() { printf 'NEWCOMER %s %s %s\\n' "$(date +%s.%N)" "$1" "$2"; }
again() {  # a line, and what it must show: typed again until it does
    local end=$((SECONDS + {patience}))
    while :; do
        if shown=$(eval "$1" 2>&1) && [[ $shown == *"$2"* ]]; then printf '%s\\n' "$shown"; return; fi
        if ((SECONDS > end)); then printf '%s\\n' "$shown"; tell failed "$1"; exit 1; fi
        sleep 0.5
    done
}
"""


def script(source: str, ports: dict[str, int], before: dict[str, str], *, root: bool) -> str:
    """Bash that types the page's first section; each line is told with its time.

    `source`: where the repository is cloned from. `ports`: what stands for the page's. `before`: lines to put
    before a line that begins so. `root`: whether packages may be installed.
    """
    lines = [PRELUDE.replace("{patience}", str(PATIENCE_S)), "tell begin all"]
    for part in _section():
        if isinstance(part, Block):
            name = part.lines[0].removeprefix("# ").strip()
            lines += [
                f"mkdir -p {shlex.quote(name.rpartition('/')[0])}",
                f"cat > {shlex.quote(name)} <<'END'",
            ]
            lines += [*(_ported(line, ports) for line in part.lines), "END"]
        else:
            lines += _typed(part, source, ports, before, root=root)
    return "\n".join(lines) + "\n"


def _section() -> Iterator[Block | Typed]:
    """Files and commands of the page, up to its Day 1."""
    end = (ROOT / PAGE).read_text("utf-8").splitlines().index("## Day 1")
    for block in blocks(PAGE):
        if block.line < end and block.info == "toml":
            yield block
        elif block.line < end and is_shell(block):
            yield from commands(block)


def _typed(
    one: Typed, source: str, ports: dict[str, int], before: dict[str, str], *, root: bool
) -> Iterator[str]:
    text = one.text
    if text.startswith("sudo apt "):
        if not root:
            return
        text = f"{SUDO} apt-get -qq -y {text.removeprefix('sudo apt ')} >/dev/null"
        text = text.replace("install ", "install --no-install-recommends ")
    if text.startswith("git clone"):
        text = f"git clone -q {shlex.quote(source)} tidewatt"
    text = _ported(text, ports).replace('ARGS="', f'ARGS="--listen 127.0.0.1:{ports["8080"]} ')
    yield from (line for begins, line in before.items() if one.text.startswith(begins))
    yield f"tell type {shlex.quote(text)}"
    if text.startswith(ITSELF) or text.endswith("&"):
        yield f"{text} {'' if text.endswith('&') else '|| { tell failed line; exit 1; }'}"
    else:
        yield f"again {shlex.quote(text)} {shlex.quote(SHOWN.get(one.text, ''))}"
    yield from (
        f"tell end {shlex.quote(name)}" for begins, name in ENDS.items() if one.text.startswith(begins)
    )


def _ported(text: str, ports: dict[str, int]) -> str:
    if "> mosquitto.conf" in text:  # the shipped configuration has the usual port
        text = text.replace('" ../', f'; s/^listener 8883/listener {ports["8883"]} 127.0.0.1/" ../')
    for usual, free in ports.items():
        text = text.replace(f":{usual}", f":{free}")
    return text
