"""An alert is raised once and recovered once, whatever is looked at how often and in which order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.alerts.episodes import (
    LONGEST_NAME,
    Condition,
    Standing,
    alert_name,
    changes,
    message,
)
from tidewatt_wire.messages import AlertKind
from tidewatt_wire.topics import check_name

quick = settings(max_examples=200)
KINDS: tuple[AlertKind, ...] = ("budget", "anomaly")
truths = st.sampled_from([True, False, None])
looks = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), truths), max_size=12)


def condition(name: str, true: bool | None, summary: str = "s") -> Condition:
    return Condition(name=name, kind="budget", true=true, summary=summary)


def run(given_looks: list[dict[str, bool | None]], repeat: int = 1) -> tuple[dict[str, Standing], list[str]]:
    """The last episodes, and what was told."""
    last: dict[str, Standing] = {}
    told = []
    for number, look in enumerate(given_looks):
        for _ in range(repeat):
            conditions = [condition(name, true) for name, true in look.items()]
            for change in changes(last, conditions, KINDS, number):
                last[change.alert.name] = change.alert
                if change.told:
                    told.append(f"{change.alert.name} {change.alert.state} {change.alert.episode}")
    return last, told


@quick
@given(looks)
def test_each_episode_is_raised_once_and_recovered_once(given_looks: list[dict[str, bool | None]]) -> None:
    _, told = run(given_looks)
    for name in "abc":
        mine = [one for one in told if one.startswith(name)]
        states = ("firing", "recovered")
        assert mine == [f"{name} {states[index % 2]} {index // 2 + 1}" for index in range(len(mine))]


@quick
@given(looks)
def test_looking_again_changes_nothing(given_looks: list[dict[str, bool | None]]) -> None:
    assert run(given_looks, repeat=3) == run(given_looks)


@quick
@given(looks)
def test_what_stands_is_what_was_last_true(given_looks: list[dict[str, bool | None]]) -> None:
    last, _ = run(given_looks)
    for name in "abc":
        stands = False
        for look in given_looks:
            # What can't be judged stays as it is; what nobody watches any more is over.
            true = look.get(name, False)
            stands = stands if true is None else true
        assert (name in last and last[name].ended_ms is None) is stands


def test_the_latest_figures_are_kept_and_are_no_news() -> None:
    (begun,) = changes({}, [condition("a", True, "one")], KINDS, 1)
    (newer,) = changes({"a": begun.alert}, [condition("a", True, "two")], KINDS, 2)
    assert not newer.told
    assert (newer.alert.summary, newer.alert.since_ms, newer.alert.episode) == ("two", 1, 1)


def test_what_was_not_judged_is_not_over() -> None:
    (begun,) = changes({}, [condition("a", True)], KINDS, 1)
    assert not list(changes({"a": begun.alert}, [], ["anomaly"], 2))
    (over,) = changes({"a": begun.alert}, [], KINDS, 2)
    assert over.alert.state == "recovered"
    assert over.alert.summary == "it is no longer watched"


def test_an_event_is_the_same_however_often_it_is_made() -> None:
    (begun,) = changes({}, [condition("a", True)], KINDS, 1)
    (over,) = changes({"a": begun.alert}, [condition("a", False)], KINDS, 5)
    first, again = message(begun.alert, "f", 1), message(begun.alert, "f", 9)
    assert first.event == again.event
    (second,) = changes({"a": over.alert}, [condition("a", True)], KINDS, 7)
    events = {message(one, "f", 1).event for one in (begun.alert, over.alert, second.alert)}
    assert len(events) == 3
    assert message(begun.alert, "g", 1).event not in events


@quick
@given(st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_a_name_fits_a_topic(parts: list[str]) -> None:
    name = alert_name("budget", *parts)
    assert check_name(name, "alert") == name
    assert len(name) <= LONGEST_NAME


def test_names_of_different_things_differ() -> None:
    assert alert_name("budget", "cloud", "actual-80") == "budget.cloud.actual-80"
    assert alert_name("anomaly", "service", "AWS Lambda") != alert_name("anomaly", "service", "AWS-Lambda")
    assert alert_name("anomaly", "x" * 80) != alert_name("anomaly", "x" * 81)
