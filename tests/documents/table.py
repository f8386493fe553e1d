"""How each line of the documents is tried: with what in the place of its placeholders, or where else, and why."""

from typing import NamedTuple


class Elsewhere(NamedTuple):
    """Why a line can't run in the sandbox, and what runs it: a make target, or a test and a word that is in it."""

    why: str
    by: str
    word: str = ""


#: By the line, or a pattern of it (`*`). Each must fit a line, so that none outlives its line.
ELSEWHERE = {
    "make run": Elsewhere("stays up until it is stopped", "tests/scenarios/test_demo.py", '"run"'),
    'make run ARGS="--once *': Elsewhere("sets up an environment; minutes", "make newcomer", "--once"),
    "make test": Elsewhere("it is what runs this", ".ci/run", "make test"),
    "pip install ./wire ./governor ./agent": Elsewhere("changes this environment", "make newcomer", "pip"),
    "sudo apt install ./tidewatt-agent_*": Elsewhere("needs root", "make deb-trial", "dpkg"),
    "sudo apt install ./tidewatt-router_*": Elsewhere("needs root", "make deb-trial", "dpkg"),
    "sudo systemctl stop tidewatt-agent": Elsewhere("needs systemd", "make deb-trial", "systemctl"),
    "sudo systemctl enable --now tidewatt-router": Elsewhere("needs systemd", "make deb-trial", "systemctl"),
    "sudo tidewatt-agent enable": Elsewhere(
        "needs the actuator", "tests/agent/test_enabling.py", "enable"
    ),
    "sudo tidewatt-agent calibrate *": Elsewhere(
        "five minutes of load", "tests/scenarios/test_calibrate_process.py", '"calibrate"'
    ),
    "sudo tidewatt-agent sleep qualify *": Elsewhere(
        "puts a board to sleep", "tests/scenarios/test_sleep.py", "qualify"
    ),
    "tidewatt carbon fetch *": Elsewhere("asks others, with a key", "tests/coordinator/test_carbon.py", "fetch"),
    "tidewatt alerts ack *": Elsewhere("needs an alert", "tests/scenarios/test_alerting.py", '"ack"'),
    "tidewatt simulate run traffic-x2 *": Elsewhere(
        "asks Prometheus", "tests/coordinator/test_simulate.py", "query"
    ),
}
#: Placeholders, by the document's word; {name} is the sandbox's own.
INSTEAD = {
    "packaging/config/agent.toml": "agent.toml",
    "http://127.0.0.1:9750": "http://127.0.0.1:{metrics}",
    "https://coordinator.example:8443 --token T --ca-fingerprint F": "{enrol}",
    "abcdefghjk": "{key_id}",
    "https://tidewatt.example/": "http://127.0.0.1:{page}/",
    "capture my-board": "capture my-board --minutes 0 --root {board} --tegrastats no-such-program",
}
#: Exit codes beside 0 that are an answer, not a failure.
CODES = {
    "tidewatt-agent doctor*": (1, 2),  # a recorded board lacks things; that is told
    "tidewatt-router status": (1,),  # nobody has published weights: the safe half holds
    "tidewatt prices check": (1,),  # a table may be old on the day on which this runs
}
#: The sandbox has started these, with its own configuration, before anything else.
STARTED = {"tidewatt-agent run --config packaging/config/agent.toml": "agent"}
#: Seconds of a processor each: run by `make docs-trial`, which leaves nothing out.
SLOW = {
    "tidewatt simulate run *": "lives through days",
    "tidewatt simulate reference": "lives through two months",
    "tidewatt report --month 2026-10 --format pdf *": "sets a page with charts",
}
#: The coordinator does its part a moment later: these are typed again until they do it.
SOON = ("tidewatt policy approve", "tidewatt policy rollback")
