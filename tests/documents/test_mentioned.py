"""Commands in the running text: each is there, with what it names, and is executed by something."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.documents.blocks import PROGRAMS, ROOT, Typed, documents, spans
from tests.documents.table import ALSO, MENTIONED
from tests.documents.test_every_command import TYPED, command_of, fitting, wrong_words

if sys.version_info >= (3, 11):
    from tomllib import loads as parse
else:
    from tomli import loads as parse

OURS = ("tidewatt", "tidewatt-agent", "tidewatt-router", "tidewatt-actuator")


def is_command(text: str) -> bool:
    """Whether it begins as one, and is no setting."""
    words = text.split()
    return words[0] in PROGRAMS and words[1:2] != ["="]


SPANS = [one for name in documents() for one in spans(name) if is_command(one.text)]
#: As words of ours stand in any block: typed there, or by what the table of lines names.
IN_BLOCKS = "\n".join(one.text for one in TYPED)


def wrong_tests(words: list[str]) -> str:
    """Of what pytest is given: paths that there are not, or a word that no test of theirs has."""
    paths = [ROOT / one for one in words if one.startswith("tests/")]
    if missing := [one for one in paths if not one.exists()]:
        return f"there is no {missing[0].relative_to(ROOT)}"
    if "-k" in words:
        word = words[words.index("-k") + 1]
        if not any(re.search(rf"def test_\w*{word}", one.read_text("utf-8")) for one in paths):
            return f"no test there has {word} in its name"
    return "" if paths else "it names no test"


def wrong_target(words: list[str]) -> str:
    """Of a target and its ARGS: what make, or the program that it calls, doesn't know."""
    # It may be a make that runs this: what that one passes on isn't for this one.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=plain)
    if done.returncode:
        return done.stderr
    arguments = next((one.removeprefix("ARGS=") for one in words if one.startswith("ARGS=")), "")
    if "test" in words and arguments:
        return wrong_tests(shlex.split(arguments))
    options = [one for one in shlex.split(arguments) if one.startswith("--")]
    called = done.stdout.splitlines()[-1] if options else ""
    if module := re.search(r"-m (tests|benchmarks)\.([\w.]+)", called):
        folder = ROOT / module[1] / module[2].split(".")[0]
        source = "".join(one.read_text("utf-8") for one in folder.glob("*.py"))
        unknown = [one for one in options if f'"{one}"' not in source]
        return f"{module[0]} has no {unknown}" if unknown else ""
    if match := re.search(r"bin/(tidewatt .*)", called):
        return wrong_words(Typed("make", 0, "", match[1]))
    return f"what does {called}?" if options else ""


def wrong_extra(words: list[str]) -> str:
    match = re.fullmatch(r"tidewatt-(\w+)\[(\w+)\]", words[-1])
    if not match:
        return "nothing of ours is installed"
    project = parse((ROOT / match[1] / "pyproject.toml").read_text("utf-8"))["project"]
    return "" if match[2] in project["optional-dependencies"] else f"there is no extra {match[2]}"


def wrong_unit(words: list[str]) -> str:
    return "" if (ROOT / "systemd" / words[-1]).exists() else f"there is no unit {words[-1]}"


JUDGES: dict[str, Callable[[list[str]], str]] = {
    "make": wrong_target,
    "pip": wrong_extra,
    "pytest": wrong_tests,
    "systemctl": wrong_unit,
}


def wrong(one: Typed) -> str:
    """What is wrong with a mention; empty if nothing is."""
    words = shlex.split(one.text.removeprefix("sudo "))
    if words[0] in OURS:  # the words themselves: tests/documents/test_every_command.py
        return _executed_nowhere(one, words)
    if judge := JUDGES.get(words[0]):
        said = judge(words[1:])
        return f"{one.place}: {one.text}: {said}" if said else ""
    known = one.text in IN_BLOCKS or fitting(one.text, MENTIONED)
    return "" if known else f"{one.place}: {one.text}: executed by nothing"


def _executed_nowhere(one: Typed, words: list[str]) -> str:
    found = command_of([word.strip("[]") for word in words])
    assert found, one
    name = " ".join(found.words)
    known = re.search(rf"{name}\b", IN_BLOCKS) or name in ALSO or fitting(name, MENTIONED)
    return "" if known else f"{one.place}: {name}: executed by nothing"


@pytest.mark.parametrize("document", sorted({one.document for one in SPANS}))
def test_what_is_mentioned_is_there_and_executed(document: str) -> None:
    seen: dict[str, Typed] = {one.text: one for one in SPANS if one.document == document and " " in one.text}
    assert [sentence for one in seen.values() if (sentence := wrong(one))] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("make no-such-thing", "No rule"),
        ('make chaos ARGS="--sed 7"', "--sed"),
        ('make test ARGS="tests/fuzz/test_short.py -k no_such_word"', "no_such_word"),
        ("make test ARGS=tests/fuzz/test_long.py", "test_long"),
        ('make train ARGS="--no-such 1"', "--no-such"),
        ('pip install "tidewatt-agent[gold]"', "gold"),
        ("systemctl enable --now tidewatt-nobody.path", "tidewatt-nobody"),
        ("kubectl delete namespace tidewatt", "executed by nothing"),
        ("tidewatt-agent sleep status", ""),
    ],
)
def test_what_is_wrong_is_found(text: str, why: str) -> None:
    said = wrong(Typed("page.md", 1, "", text))
    assert (why in said) if why else not said


@pytest.mark.parametrize("pattern", MENTIONED)
def test_no_entry_outlives_its_mention(pattern: str) -> None:
    texts = {one.text.removeprefix("sudo ") for one in SPANS}
    found = [command_of(re.sub(r"[][]", "", text).split()) for text in texts if text.split()[0] in OURS]
    assert any(fitting(text, [pattern]) for text in texts | {" ".join(one.words) for one in found if one})
    said = MENTIONED[pattern]
    assert said.why
    assert said.word
    assert said.word in (ROOT / said.by).read_text("utf-8")
