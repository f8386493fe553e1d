"""Policy documents: what is meant is read, what can't be is one sentence with file, line and key."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.rollout.documents import covers, parse, to_text
from tidewatt_coordinator.rollout.marked import Language, language_of, read
from tidewatt_coordinator.rollout.terms import Document, Gates, Plan, PlannedWave
from tidewatt_governor.policy import fits
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import MaintenanceWindow, Policy, Rule

GOOD_TOML = """
name = "winter"
not_after = 2027-03-01T00:00:00Z
[[rules]]
match = { site = "berlin", role = "camera" }
policy.slo_p95_ms = 45
policy.derate_at_c = "none"
[[rules]]
[rules.policy]
control = "observe"
maintenance = { start = "13:00", minutes = 60, zone = "Europe/Berlin" }
[rollout]
approval = "start"
waves = [
  { percent = 100, match = { ring = "canary" }, soak_s = 60 },
  { percent = 100 },
]
[rollout.gates]
p95_ms = "none"
"""

GOOD_YAML = """
name: winter
not_after: 2027-03-01T00:00:00Z
rules:
  - match: {site: berlin, role: camera}
    policy: {slo_p95_ms: 45, derate_at_c: none}
  - policy:
      control: observe
      maintenance: {start: 13:00, minutes: 60, zone: Europe/Berlin}
rollout:
  approval: start
  waves:
    - {percent: 100, match: {ring: canary}, soak_s: 60}
    - percent: 100
  gates: {p95_ms: none}
"""


def refused(text: str, name: str = "p.toml") -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse(text, name=name)
    return str(caught.value).splitlines()


def test_both_languages_say_the_same() -> None:
    toml, yaml = parse(GOOD_TOML, name="p.toml"), parse(GOOD_YAML, name="p.yaml")
    assert toml.document == yaml.document
    assert toml.document.rules[0].policy.derate_at_c is None
    assert toml.document.rules[1].policy.maintenance == MaintenanceWindow(
        start="13:00", minutes=60, zone="Europe/Berlin"
    )
    assert toml.document.rollout.gates == Gates(p95_ms=None)
    assert toml.sha256 != yaml.sha256, "the digest is the text's"
    assert language_of("standard input", GOOD_TOML) == "toml"
    assert language_of("standard input", GOOD_YAML) == "yaml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[[rules]]\npolicy.headrom = 1",
            "2: unknown key 'rules[1].policy.headrom'; did you mean 'headroom'?",
        ),
        ("[[rules]]\npolicy.headroom = -1", "2: rules[1].policy.headroom: Expected `float` >= 0.0, not -1"),
        (
            "[[rules]]\n[rules.policy]\nslo_p95_ms = 1\ncontrol = 'enforced'",
            "4: rules[1].policy.control: 'enforced' is no choice; did you mean 'enforce'?",
        ),
        ("[[rules]]\n[[rules]]", "2: rule 2 selects the same devices as rule 1, which comes first and holds"),
        (
            "[[rules]]\nsites = ['a', 'b']\n[[rules]]\nmatch = {site = 'b', x = 'y'}",
            "3: rule 2 can never be reached, after rule 1, which comes first and holds",
        ),
        (
            "[[rules]]\nsites = ['a']\nmatch = {site = 'b'}",
            "1: rule 1 fits no device: match and sites name different sites",
        ),
        ("[[rules]]\ndevices = ['a b']", "2: rules[1].devices[1] 'a b' is not a name"),
        ("[[rules]]\ndevices = [\n'a',\n'a']", "4: 'a' stands in rules[1].devices twice"),
        ("a = 1\na = 2", "2: not TOML: a key stands here twice"),
        ("[[rules]\n", "1: not TOML"),
        ("name = 'x'", "1: 'rules' is missing"),
        ("rules = []", "1: rules: Expected `array` of length >= 1"),
        ("rules = 3", "1: rules: Expected `array`, got `int`, not 3"),
        ("not_after = 2027-01-01\n[[rules]]", "1: not_after: Expected `datetime | null`, got `date`"),
        ("not_after = 2027-01-01T00:00:00\n[[rules]]", "1: not_after: Expected `datetime` with a timezone"),
        (
            "not_before=2028-01-01T00:00:00Z\nnot_after=2027-01-01T00:00:00Z\n[[rules]]",
            "2: not_after is not later than not_before",
        ),
        ("[[rules]]\n[rollout]\nwaves = [{percent = 5}]", "3: wave 1 is the last and doesn't reach all"),
        (
            "[[rules]]\n[rollout]\nwaves = [\n{percent=50},\n{percent=50},\n{percent=100}]",
            "5: wave 2 reaches nobody whom wave 1 hasn't reached",
        ),
        (
            "[[rules]]\n[rollout]\nwaves = [{percent = 0}]",
            "3: rollout.waves[1].percent: Expected `float` > 0.0",
        ),
        ("[[rules]]\n[rollout]\nlongest_soak_s = 1", "3: rollout.longest_soak_s is less than rollout.soak_s"),
        (
            "[[rules]]\n[rollout.window]\nstart = '3:00'\nminutes = 5",
            "3: rollout.window.start: Expected `str` matching regex",
        ),
        (
            "[[rules]]\n[rollout.window]\nstart = '03:00'\nminutes = 5\nzone = 'Europe/Berln'",
            "5: rollout.window.zone: no time zone 'Europe/Berln' is known; did you mean 'Europe/Berlin'?",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, sentence: str) -> None:
    lines = refused(text)
    assert any(line.startswith(f"p.toml:{sentence}") for line in lines), lines


def test_every_problem_is_said_at_once_in_the_order_of_lines() -> None:
    lines = refused("[[rules]]\npolicy.x = 1\npolicy.headroom = 'a'\n[rollout]\nwave = []\n")
    assert [line.split(": ")[0] for line in lines] == ["p.toml:2", "p.toml:3", "p.toml:5"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rules: [{}]\nname: a\nname: b", "3: the key 'name' stands here twice; see line 2"),
        ("rules:\n  - policy: {headrom: 1}", "2: unknown key 'rules[1].policy.headrom'"),
        ("rules: !!python/object:os.system x", "1: the tag"),
        ("rules: &a [*a]", "1: too much nesting or too many aliases"),
        ("- 1", "1: a policy document is a table of keys"),
        ("rules: [", "1: not YAML"),
        ("? [a]\n: 1", "1: a key is a word"),
        ("", "1: 'rules' is missing"),
    ],
)
def test_yaml_has_lines_too_and_only_plain_values(text: str, sentence: str) -> None:
    lines = refused(text, "p.yaml")
    assert any(line.startswith(f"p.yaml:{sentence}") for line in lines), lines


def test_the_manuals_example_is_good() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
    read_back = parse(manual.split("```toml")[1].split("```")[0], name="policy.md.toml")
    assert len(read_back.document.rollout.waves) == 3


def test_too_long_is_said_before_it_is_read() -> None:
    assert "characters; at most" in refused("#" * 1_048_577)[0]


names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
matches = st.dictionaries(st.sampled_from(["site", "ring", "x y"]), st.text(max_size=4), max_size=2)
moments = st.one_of(
    st.none(),
    st.integers(0, 10**6).map(lambda h: datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=h)),
)
policies = st.builds(
    Policy,
    slo_p95_ms=st.floats(1, 1e6),
    tail_quantile=st.one_of(st.none(), st.floats(0, 1)),
    allowed_points=st.one_of(st.none(), st.lists(names, max_size=2)),
    max_over_current_per_min=st.dictionaries(st.sampled_from(["oc1", "oc3"]), st.floats(0, 10), max_size=2),
    quiet_hours=st.lists(st.just(MaintenanceWindow(start="01:30", minutes=5)), max_size=2),
    control=st.sampled_from([None, "observe", "enforce"]),
)
rules = st.builds(
    Rule,
    match=matches,
    sites=st.lists(names, max_size=2, unique=True),
    devices=st.lists(names, max_size=2, unique=True),
    policy=policies,
)
plans = st.builds(
    Plan,
    approval=st.sampled_from(["none", "start", "each_wave"]),
    waves=st.lists(st.floats(0.5, 99), max_size=4, unique=True).map(
        lambda some: [PlannedWave(percent=one) for one in [*sorted(some), 100.0]]
    ),
    gates=st.builds(Gates, p95_ms=st.one_of(st.none(), st.floats(0, 1))),
)
documents = st.builds(
    Document, name=names, not_after=moments, rules=st.lists(rules, min_size=1, max_size=4), rollout=plans
)


@given(documents)
def test_a_document_written_down_reads_the_same(document: Document) -> None:
    text = to_text(document)
    try:
        again = parse(text, name="p.toml")
    except DocumentError as error:
        # What is well formed may still be senseless (a rule in another's shadow), never misread.
        assert all(" rule " in f" {line}" for line in str(error).splitlines())  # noqa: PT017
    else:
        assert again.document == document


@given(rules, rules, names, matches)
def test_a_rule_that_covers_another_fits_whatever_it_fits(
    wide: Rule, narrow: Rule, device: str, labels: dict[str, str]
) -> None:
    for one in (device, *narrow.devices):
        for site in ({}, *({"site": site} for site in narrow.sites)):
            has: dict[str, str] = {**labels, **narrow.match, **site}
            if covers(wide, narrow) and fits(narrow, one, has):
                assert fits(wide, one, has)


@given(
    st.sampled_from(["toml", "yaml"]), st.text(alphabet='[]{}=\'",.:-#\n \tabc013&*!?|>%@\\"', max_size=60)
)
@example("toml", "rules = [[1, [2]], {a = {b = 1}}] # '\n[a.'b.c']\n")
@settings(max_examples=400)
def test_whatever_is_written_is_a_document_or_a_sentence(language: Language, text: str) -> None:
    try:
        parse(text, name="p", language=language)
    except DocumentError as error:
        assert str(error).startswith("p:")  # noqa: PT017 - or none is raised


scalars = st.one_of(st.integers(-5, 5), st.booleans(), st.text(alphabet="ab#'\"[]{}=,\\\n", max_size=5))
keys = st.text(alphabet="ab.'\" ", max_size=3)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(inner, st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3))


values = nested(nested(nested(scalars)))


@given(st.dictionaries(st.text(alphabet="ab.'\" ", min_size=1, max_size=3), values, max_size=4))
def test_every_value_of_a_toml_text_has_its_line(document: dict[str, Any]) -> None:
    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{inline(k)} = {inline(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[\n" + ",\n".join(inline(v) for v in value) + "\n]"
        return msgspec.json.encode(value).decode()

    def paths(value: Any, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        return [path, *(one for key, item in inner for one in paths(item, (*path, key)))]

    text = "".join(f"{inline(key)} = {inline(value)}\n" for key, value in document.items())
    marked = read(text, "toml", name="p")
    assert marked.document == document
    assert set(marked.lines) == set(paths(document, ()))
    ordered = [marked.lines[path] for path in paths(document, ())]
    assert ordered == sorted(ordered)
    assert ordered[-1] <= max(1, text.count("\n"))
