"""Every command of README and docs is executed, here or by what the table names; none is in neither."""

import fnmatch
import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.actuators import wait_for
from tests.documents.blocks import ROOT, Block, Typed, blocks, commands, documents, is_shell, mentioned
from tests.documents.runners import as_typed, text_of
from tests.documents.sandbox import SHELL, Ran, Sandbox, sandbox
from tests.documents.table import (
    ALSO,
    CODES,
    ELSEWHERE,
    INSTEAD,
    NEITHER,
    REFUSED,
    SECTIONS,
    SLOW,
    SOON,
    STARTED,
    Elsewhere,
)

from tidewatt_coordinator.config import Config as CoordinatorConfig
from tidewatt_coordinator.config import parse_config

if sys.version_info >= (3, 11):
    from tomllib import loads as parse
else:
    from tomli import loads as parse

sys.path.insert(0, str(ROOT / "docs"))
from commands import Command, programs

TYPED = [one for name in documents() for block in blocks(name) if is_shell(block) for one in commands(block)]
COMMANDS = {one.words: one for program in programs() for one in program.commands}
#: systemd's part is done by the sandbox, with the same processes.
SERVICE = re.compile(r"sudo systemctl (start|stop|restart) tidewatt-(coordinator|agent|router)")
#: At the least, of a line, what stands in what runs it: one part of so many.
PART = 3
TRIAL = os.environ.get("TIDEWATT_DOCS_TRIAL") == "1"


def fitting(text: str, patterns: Iterable[str]) -> str:
    """The pattern that a line fits; empty where none does."""
    return next((one for one in patterns if one == text or fnmatch.fnmatchcase(text, one)), "")


def command_of(words: list[str]) -> Command | None:
    """The command that words call; the longest that fits."""
    lengths = range(len(words), 0, -1)
    return next((found for end in lengths if (found := COMMANDS.get(tuple(words[:end])))), None)


def elsewhere(one: Typed) -> bool:
    """Whether something else types a line."""
    return (one.document, one.section) in SECTIONS or bool(fitting(one.text, ELSEWHERE))


class Reader:
    """Somebody who types what stands there, and remembers what was printed."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self.keys: list[str] = []
        self.known = {
            "page": str(box.page), "metrics": str(box.metrics), "board": str(box.folder / "board"),
            "user": str(os.getuid()), "group": str(os.getgid()),
        }  # fmt: skip

    def type(self, one: Typed) -> str:
        """What is wrong with a line as it ran; empty if nothing is."""
        if name := STARTED.get(one.text):
            return "" if self._box.started[name].running else f"{name} has ended"
        if unit := SERVICE.fullmatch(one.text):
            self._box.service(unit[1], unit[2])
            return ""
        line = self.line(one.text)
        ran = self._box.done.pop(one.text, None) or self._box.run(line)
        if ran.code and fitting(one.text, SOON):
            tries = [ran]

            def again() -> bool:
                tries.append(self._box.run(line))
                return not tries[-1].code

            # An agent whose broker went again and again waits longer each time, and is heard for a while.
            wait_for(again, f"{line} to do it: {ran.said}", 180.0)
            ran = tries[-1]
        self._remember(ran)
        if ran.code and one.text in REFUSED and REFUSED[one.text] in ran.said:
            return ""
        allowed = (0, *CODES.get(fitting(one.text, CODES), ()))
        return "" if ran.code in allowed else f"{line}\nends with {ran.code}: {ran.said[-600:]}"

    def line(self, text: str) -> str:
        """With this sandbox's own names in it, and its configuration where a command takes one."""
        text = text.removeprefix("sudo ")
        if "KEY-ID" in text:  # the older one
            self.known["key"] = self.keys.pop(0)
        elif text.endswith("/policy-keys-old"):
            self.keys.clear()
        for placeholder, here in INSTEAD.items():
            if placeholder in text:
                text = text.replace(placeholder, here.format(**self.known))
        text, read, file = text.partition(" < ")
        if set(text) & SHELL or "--config" in text:
            return f"{text}{read}{file}"
        found = command_of(shlex.split(text))
        if found is None or not any(each.typed.startswith("--config") for each in found.parameters):
            return f"{text}{read}{file}"
        program = found.words[0].removeprefix("tidewatt-")
        config = f"{'coordinator' if program == 'tidewatt' else program}.toml"
        before, dashes, after = text.partition(" -- ")
        return f"{before} --config {config}{dashes}{after}{read}{file}"

    def _remember(self, ran: Ran) -> None:
        """Keep what later lines are to be typed with."""
        if match := re.search(
            r"tidewatt-agent enroll (https://\S+ --token \S+ --ca-fingerprint \S+)", ran.said
        ):
            self.known["enrol"] = match[1]
        self.keys += re.findall(r"key ([0-9a-f]{16}) is made", ran.said)
        if match := re.search(r"^ *tw_([a-z0-9]+)", ran.said, re.MULTILINE):
            self.known["key_id"] = match[1]


@pytest.mark.timeout(900)
def test_every_command_runs(tmp_path: Path) -> None:
    wrong = []
    with sandbox(tmp_path) as box:
        listed = "tidewatt fleet ls --config coordinator.toml"
        wait_for(lambda: "jetson-17" in box.run(listed).said, "a report")
        reader = Reader(box)
        for one in TYPED:
            if elsewhere(one) or (not TRIAL and fitting(one.text, SLOW)):
                continue
            if sentence := reader.type(one):
                wrong.append(f"{one.place}: {sentence}")
        wrong += filter(None, [reader.type(Typed("the text", 0, "", line)) for line in ALSO])
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("table", [ELSEWHERE, SLOW, CODES], ids=["elsewhere", "slow", "codes"])
def test_no_entry_outlives_its_line(table: dict[str, object]) -> None:
    lines = {*ALSO, *(one.text for one in TYPED if (one.document, one.section) not in SECTIONS)}
    assert [pattern for pattern in table if not any(fitting(line, [pattern]) for line in lines)] == []


def wrong_runner(said: Elsewhere, lines: Iterable[str], names: tuple[str, ...] = ()) -> str:
    """Why an entry doesn't say what runs its lines, or the section of these names; empty if it does."""
    if not said.why or not said.word:
        return "it says no reason, or no word, and an empty one is in every file"
    try:
        if said.word not in text_of(said.by):
            return f"{said.by} has no {said.word!r}"
    except ValueError as error:
        return str(error)
    if said.by.startswith("make ") and said.word not in names:
        word = as_typed(said.word)
        other = [line for line in lines if word not in line or len(word) * PART < len(line)]
        return f"{word!r} is too little of {other}" if other or names else ""
    return ""


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_what_runs_elsewhere_runs_there(pattern: str) -> None:
    lines = [one.text for one in TYPED if fitting(one.text, [pattern])]
    assert wrong_runner(ELSEWHERE[pattern], lines) == ""


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_a_section_typed_elsewhere_is_typed_there(section: tuple[str, str]) -> None:
    assert wrong_runner(SECTIONS[section], [], section) == ""


@pytest.mark.parametrize(
    ("by", "word", "why"),
    [
        ("make deb-trial", "apt install ./tidewatt-router_", ""),
        ("make deb-trial", "", "no word"),
        ("make deb-trial", "apt install ./tidewatt-nobody_", "has no 'apt install ./tidewatt-nobody_'"),
        ("make deb-trial", "dpkg", "too little of"),
        ("make deb-trial", "buildah", "has no 'buildah'"),  # test_image.py: left out of this target
        ("make newcomer", "install", "too little of"),
        ("make no-such-trial", "apt", "no target no-such-trial"),
        ("make wheels", "apt", "names no test"),
        ("tests/no_such_test.py", "apt", "no tests/no_such_test.py"),
    ],
)
def test_a_runner_that_does_not_run_the_line_is_found(by: str, word: str, why: str) -> None:
    said = wrong_runner(
        Elsewhere("a reason", by, word), ["sudo apt install ./tidewatt-router_0.1.0_amd64.deb"]
    )
    assert (why in said) if why else not said


def wrong_words(one: Typed) -> str:
    """What a command of ours in the running text has that the program hasn't."""
    words = shlex.split(one.text.replace("[", "").replace("]", ""))
    found = command_of(words)
    if found is None or (len(found.words) == 1 and len(words) > 1 and not words[1].startswith("-")):
        return f"{one.place}: there is no `{one.text}`"
    known = {name.split()[0] for each in found.parameters for name in each.typed.split(", ")}
    rest = [word.partition("=")[0] for word in words[len(found.words) :]]
    options = [word for word in rest if word.startswith("--") and word != "--"]
    unknown = [word for word in options if word not in known | {"--help", "--version"}]
    return f"{one.place}: `{found.name}` has no {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("document", documents())
def test_commands_in_the_text_exist(document: str) -> None:
    assert [sentence for one in mentioned(document) if (sentence := wrong_words(one))] == []


OTHERS = [block for name in documents() for block in blocks(name) if not is_shell(block)]
SECTIONS_OF_OURS = set(CoordinatorConfig.__struct_fields__)


@pytest.mark.parametrize("block", OTHERS, ids=lambda one: one.place)
def test_what_is_not_typed_is_toml_or_told(block: Block) -> None:
    if any(block.lines[0].strip().startswith(begins) for begins in NEITHER):
        return
    assert block.info in ("", "toml")
    found = parse(block.text)
    if set(found) <= SECTIONS_OF_OURS:  # the coordinator reads it, too
        parse_config(block.text, name=block.place)


def test_no_block_is_told_that_is_gone() -> None:
    assert [
        one for one in NEITHER if not any(block.lines[0].strip().startswith(one) for block in OTHERS)
    ] == []
