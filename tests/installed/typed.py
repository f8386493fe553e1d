"""Lines of docs/operate.md, typed by root in a machine that has the coordinator's package."""

from tests.documents.blocks import ROOT, blocks, commands, is_shell
from tests.installed.machine import Machine

PAGE = "docs/operate.md"


def lines(heading: str) -> list[str]:
    """What the page has one type under a heading, in its order; nobody needs sudo to be root."""
    text = (ROOT / PAGE).read_text("utf-8").splitlines()
    begin = text.index(heading) + 1
    end = next((at for at in range(begin, len(text)) if text[at].startswith("#")), len(text))
    found = [
        one.text.removeprefix("sudo ")
        for block in blocks(PAGE)
        if begin < block.line <= end and is_shell(block)
        for one in commands(block)
    ]
    assert found, heading
    return found


def type_all(machine: Machine, heading: str, *but: str, key: str = "") -> None:
    """Type a heading's lines in root's home, without those that have one of `but` in them.

    `key`: the file of the key that is shown to the coordinator.
    """
    begin = f"cd /root && export TIDEWATT_KEY_FILE={key} &&" if key else "cd /root &&"
    for line in lines(heading):
        if not any(word in line for word in but):
            machine.run("sh", "-c", f"{begin} {line.replace('broker.example', 'localhost 127.0.0.1')}")
