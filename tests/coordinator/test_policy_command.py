"""`tidewatt policy ...`: on the database alone, each way with its exit code and its sentence."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.rollout.roster import Known, Roster
from tidewatt_wire.messages import Rule

WAVES = """name = "winter"
[[rules]]
match = { site = "berlin" }
policy = { slo_p95_ms = 45, derate_at_c = "none" }
[rollout]
soak_s = 600
waves = [{ percent = 100, match = { ring = "canary" } }, { percent = 100 }]
"""
AT_ONCE = '[[rules]]\npolicy.headroom = 0.5\n[rollout]\nmode = "at_once"\n'


class Desk:
    """A configuration, its database, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'l.db'}"
        (folder / "c.toml").write_text(f'[coordinator]\nfleet = "f"\n[ledger]\nurl = "{self.url}"\n')
        (folder / "waves.toml").write_text(WAVES)
        (folder / "once.yaml").write_text("rules:\n- policy: {headroom: 0.5}\nrollout: {mode: at_once}\n")

    def __call__(self, command: str, *arguments: str, code: int = 0, typed: str | None = None) -> str:
        places = [str(self.folder / one) if one.endswith((".toml", ".yaml")) else one for one in arguments]
        config = [] if command == "validate" else ["--config", str(self.folder / "c.toml")]
        done = CliRunner().invoke(app, ["policy", command, *places, *config], input=typed)
        assert done.exit_code == code, (done.output, done.exception)
        if code:
            assert done.stderr.startswith("tidewatt: ")
            assert "Traceback" not in done.output
        return str(done.output)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_validate(desk: Desk) -> None:
    assert desk("validate", "waves.toml").endswith("waves.toml: good: 1 rules, 2 waves\n")
    assert desk("validate", "-", typed=AT_ONCE).startswith("standard input: good")
    said = desk("validate", "-", typed=AT_ONCE.replace("headroom", "headrom"), code=1)
    assert said == (
        "tidewatt: standard input:2: unknown key 'rules[1].policy.headrom'; did you mean 'headroom'?\n"
    )
    assert desk("validate", "-", typed="\n\nrules: 1\nx: 2\n", code=1).count("tidewatt: ") == 2


def test_at_once(desk: Desk) -> None:
    assert "waves.toml goes out in waves: use `tidewatt policy rollout`" in desk(
        "apply", "waves.toml", code=1
    )
    assert "use `tidewatt policy apply`" in desk("rollout", "once.yaml", code=1)
    assert "is in force from revision" in desk("apply", "once.yaml")
    assert "is in force already" in desk("apply", "once.yaml", code=3)
    assert "winter is in force" in desk("apply", "--now", "waves.toml")
    assert "policy is in force" in desk("rollback")
    events = json.loads(desk("history", "--json"))
    assert [one["what"] for one in events] == ["rolled back", "applied", "applied", "configured"]
    assert desk("history", "--most", "1").count("\n") == 1
    assert desk("history", "--show", events[1]["document"][:10]) == WAVES
    assert "no document has a sha256" in desk("history", "--show", "zz", code=1)


def test_a_rollout_from_plan_to_abort(desk: Desk) -> None:
    assert "there is no rollout" in desk("approve", code=3)
    assert "is planned: 2 waves" in desk("rollout", "waves.toml", "--author", "ada")
    assert "is on its way (planned): abort it first" in desk("rollout", "waves.toml", code=1)
    assert "is on its way" in desk("apply", "--now", "waves.toml", code=1)
    assert "paused by the operator: hot day" in desk("pause", "--reason", "hot day")
    assert "is paused already" in desk("pause", code=3)
    assert "resumed by the operator" in desk("resume")
    assert "isn't paused" in desk("resume", code=3)
    assert "wave 1 is approved" in desk("approve")
    assert "aborted by the operator" in desk("abort")
    assert "has ended (aborted)" in desk("abort", code=3)
    assert "nothing was in force before" in desk("rollback", code=3)
    events = json.loads(desk("history", "--json"))
    assert [one["what"] for one in events][::-1] == [
        "configured", "planned", "paused", "resumed", "approved", "aborted",
    ]  # fmt: skip
    assert (events[-2]["author"], events[-3]["reason"]) == ("ada", "hot day")


def test_diff_and_status_know_the_fleet(desk: Desk) -> None:
    ledger = Ledger(desk.url, 300_000)
    Roster(ledger.engine, "f").write(
        [
            Known(device="a", labels={"site": "berlin", "ring": "canary"}, status="online"),
            Known(device="b", labels={"site": "berlin"}, status="online"),
            Known(device="c", labels={"site": "rome"}, status="lost"),
        ],
        1,
    )
    assert desk("diff", "waves.toml").splitlines() == [
        "2 of 3 known devices change",
        "a, b:",
        "  slo_p95_ms: 60.0 -> 45.0",
        "  derate_at_c: 95.0 -> none",
    ]
    assert json.loads(desk("diff", "waves.toml", "--json"))[0]["devices"] == ["a", "b"]
    desk("rollout", "waves.toml")
    # The coordinator comes up, finds the order and begins.
    lease = Lease(ledger.engine, "policy:f", "one", 10_000, lambda: 1_800_000_000_000)
    engine = Engine(ledger, Fleet(1), "f", [Rule()], lambda: 1_800_000_000_000, lease)
    engine.tick()
    ledger.close()
    assert engine.current().rollout is not None
    told = desk("status")
    assert "fleet f: configuration at revision" in told
    assert "soaking: wave 1 of 2 is reached: 100 % of the devices with ring = canary" in told
    assert "stragglers: a, b, c" in told
    waves = json.loads(desk("status", "--json"))["waves"]
    assert [(wave["devices"], wave["state"]) for wave in waves] == [(1, "soaking"), (2, "to come")]
    desk("apply", "--now", "once.yaml", code=1)
    desk("abort")
    desk("apply", "--now", "waves.toml")
    assert "these rules are in force already" in desk("diff", "waves.toml", code=3)
