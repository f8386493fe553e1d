"""How each line of the documents is tried: with what for its placeholders, or where else, and why."""

from typing import NamedTuple


class Elsewhere(NamedTuple):
    """Why a line can't run in the sandbox, and what runs it: a make target or a test that has the word.

    A target's word is a good part of the line itself, or for a section the page that is typed.
    """

    why: str
    by: str
    word: str


#: By the line, or a pattern of it (`*`). Each must fit a line, so that none outlives its line.
ELSEWHERE = {
    "sudo tidewatt-agent enable --check": Elsewhere(
        "needs the actuator", "tests/agent/test_enabling.py", "--check"
    ),
    "sudo systemctl restart mosquitto": Elsewhere(
        "needs systemd", "make deb-trial", "systemctl restart mosquitto"
    ),
    "sudo systemctl reload mosquitto": Elsewhere(
        "needs systemd", "make deb-trial", "systemctl reload mosquitto"
    ),
    "pg_dump *": Elsewhere("needs PostgreSQL", "tests/documents/test_restore.py", "pg_dump"),
    "createdb *": Elsewhere("needs PostgreSQL", "tests/documents/test_restore.py", "createdb"),
    "pg_restore *": Elsewhere("needs PostgreSQL", "tests/documents/test_restore.py", "pg_restore"),
    "timedatectl": Elsewhere("needs systemd, shows a clock", "make deb-trial", '"timedatectl"'),
    "tidewatt model remove mine": Elsewhere("needs a model", "tests/coordinator/test_models.py", '"remove"'),
    "tidewatt plan show": Elsewhere("needs a plan", "tests/coordinator/test_hinting.py", '"plan", "show"'),
    "tidewatt plan explain": Elsewhere(
        "needs a plan", "tests/coordinator/test_hinting.py", '"plan", "explain"'
    ),
    "tidewatt dispatch thaw ORDER-ID": Elsewhere(
        "needs weights", "tests/coordinator/test_dispatch_orders.py", "thaw"
    ),
    "make run": Elsewhere("stays up until it is stopped", "tests/scenarios/test_demo.py", '"run"'),
    'make run ARGS="--once *': Elsewhere(
        "sets up an environment; minutes", "make newcomer", "--once --speed 600 --json out.json"
    ),
    "make check": Elsewhere("minutes", ".ci/run", "make check"),
    'make test ARGS="tests/governor -x"': Elsewhere("it is what runs this", ".ci/run", "make test"),
    'make test ARGS="-m hypothesis --hypothesis-profile=search"': Elsewhere(
        "it is what runs this", ".ci/run", "make test"
    ),
    "make changelog": Elsewhere("sets up an environment", "tests/packaging/test_changelog.py", "section("),
    "make test": Elsewhere("it is what runs this", ".ci/run", "make test"),
    "pip install ./wire ./governor ./agent": Elsewhere(
        "changes this environment",
        "tests/documents/test_pip_line.py",
        "pip install ./wire ./governor ./agent",
    ),
    "sudo apt install ./tidewatt-agent_*": Elsewhere(
        "needs root", "make deb-trial", "apt install ./tidewatt-agent_"
    ),
    "sudo apt install ./tidewatt-coordinator_*": Elsewhere(
        "needs root", "make deb-trial", "apt install ./tidewatt-coordinator_"
    ),
    "sudo apt install ./tidewatt-router_*": Elsewhere(
        "needs root", "make deb-trial", "apt install ./tidewatt-router_"
    ),
    "curl -fsS https://apt.example/*": Elsewhere(
        "asks an apt repository", "tests/packaging/test_apt_repository.py", "curl -fsS https://apt.example"
    ),
    "gpg --show-keys *": Elsewhere(
        "asks gpg of its key", "tests/packaging/test_apt_repository.py", "gpg --show-keys"
    ),
    'echo "deb *': Elsewhere("needs root", "tests/packaging/test_apt_repository.py", 'echo "deb [signed-by='),
    "sudo apt update": Elsewhere("needs root", "tests/packaging/test_apt_repository.py", "sudo apt update"),
    "sudo apt install tidewatt-coordinator": Elsewhere(
        "needs root", "tests/packaging/test_apt_repository.py", "sudo apt install tidewatt-coordinator"
    ),
    "sudo systemctl enable --now tidewatt-router": Elsewhere(
        "needs systemd", "make deb-trial", "systemctl enable --now tidewatt-router"
    ),
    "sudo tidewatt-agent enable": Elsewhere("needs the actuator", "tests/agent/test_enabling.py", "enable"),
    "sudo tidewatt-agent calibrate *": Elsewhere(
        "five minutes of load", "tests/scenarios/test_calibrate_process.py", '"calibrate"'
    ),
    "sudo tidewatt-agent sleep qualify *": Elsewhere(
        "puts a board to sleep", "tests/scenarios/test_sleep.py", "qualify"
    ),
    "tidewatt carbon fetch *": Elsewhere(
        "asks others, with a key", "tests/coordinator/test_carbon.py", "fetch"
    ),
    "tidewatt alerts ack *": Elsewhere("needs an alert", "tests/scenarios/test_alerting.py", '"ack"'),
    "tidewatt simulate run traffic-x2 *": Elsewhere(
        "asks Prometheus", "tests/coordinator/test_simulate.py", "query"
    ),
    "docker build *": Elsewhere(
        "needs docker, and a registry for its base", "make image-trial", "packaging/container/Dockerfile"
    ),
    "kubectl *": Elsewhere("needs a cluster", "tests/documents/test_cluster.py", 'startswith("kubectl ")'),
}
#: Placeholders, by the document's word; {name} is the sandbox's own.
INSTEAD = {
    "tidewatt-coordinator:tidewatt-coordinator": "{user}:{group}",
    "-o tidewatt-coordinator -g tidewatt-coordinator": "-o {user} -g {group}",
    "-o mosquitto -g mosquitto": "-o {user} -g {group}",
    "/var/lib/tidewatt-coordinator": ".",
    "/etc/mosquitto/tidewatt/": "broker-files/",
    "packaging/config/agent.toml": "agent.toml",
    "http://127.0.0.1:9750": "http://127.0.0.1:{metrics}",
    "https://coordinator.example:8443 --token T --ca-fingerprint F": "{enrol} --config enrolled.toml",
    "KEY-ID": "{key}",
    "abcdefghjk": "{key_id}",
    "https://tidewatt.example/": "http://127.0.0.1:{page}/",
    "capture my-board": "capture my-board --minutes 0 --root {board} --tegrastats no-such-program",
}
#: Exit codes beside 0 that are an answer, not a failure.
CODES = {
    "tidewatt validate *": (1, 4),  # a board of a minute has kept nothing for a week
    "tidewatt policy abort": (3,),  # there is no rollout any more
    "tidewatt-agent doctor*": (1, 2),  # a recorded board lacks things; that is told
    "tidewatt-agent sleep status": (1,),  # no board may sleep that wasn't tried
    "tidewatt-router status": (1,),  # nobody has published weights: the safe half holds
    "tidewatt prices check": (1,),  # a table may be old on the day on which this runs
}
#: Lines that are typed more than once, and rightly refused when it was done before.
REFUSED = {"tidewatt enroll ca": "holds a CA already"}
#: The sandbox has started these, with its own configuration, before anything else.
STARTED = {"tidewatt-agent run --config packaging/config/agent.toml": "agent"}
#: Seconds of a processor each: run by `make docs-trial`, which leaves nothing out.
SLOW = {
    "tidewatt simulate run *": "lives through days",
    "tidewatt simulate reference": "lives through two months",
    "tidewatt report --month 2026-10 --format pdf *": "sets a page with charts",
}
#: The coordinator does its part a moment later, or has to hear of the device first, whose agent may just have
#: been restarted by a line before: these are typed again until they do it.
SOON = ("tidewatt policy approve", "tidewatt policy rollback", "tidewatt dispatch override *")
#: Sections whose lines are all typed by something else, in their order.
SECTIONS = {
    ("docs/operate.md", "Try it"): Elsewhere(
        "sets up an environment; minutes", "make newcomer", "docs/operate.md"
    ),
    ("docs/deploy.md", "One machine: compose"): Elsewhere(
        "needs docker's daemon", "tests/documents/test_compose_lines.py", "One machine: compose"
    ),
}
#: Typed after all of the blocks' lines: commands of ours that stand in the running text alone.
ALSO = ("tidewatt costs sources", "tidewatt ledger asleep", "tidewatt-agent sleep status")
#: Commands that stand in the running text alone, of ours by their words, and what executes them.
MENTIONED = {
    "tidewatt run": Elsewhere("a fleet of its own", "tests/scenarios/test_demo.py", '"run"'),
    "tidewatt-agent disable": Elsewhere("needs the actuator", "tests/agent/test_enabling.py", "disable"),
    "tidewatt chaos spot": Elsewhere("takes seconds", "tests/coordinator/test_chaos.py", '"chaos", "spot"'),
    "tidewatt model add": Elsewhere("needs a model", "tests/coordinator/test_models.py", '"add"'),
    "tidewatt recommend show": Elsewhere(
        "needs a proposal", "tests/coordinator/test_proposals_doors.py", '"recommend", "show"'
    ),
    "tidewatt train": Elsewhere("takes gigabytes", "tests/train/test_train.py", '"train"'),
    "docker compose exec *": Elsewhere(
        "needs docker", "tests/documents/test_compose_lines.py", "--role admin"
    ),
    "docker compose kill -s HUP *": Elsewhere("needs docker", "tests/scenarios/test_acl.py", "reload()"),
    "kubectl -n tidewatt exec *": Elsewhere(
        "needs a running pod; the command is typed there", "tests/documents/test_compose_lines.py", "RUN"
    ),
    "kubectl -n tidewatt events *": Elsewhere("needs a cluster", "tests/documents/test_cluster.py", "events"),
    "promtool test rules *": Elsewhere(
        "needs promtool", "tests/packaging/test_alert_rules.py", "tidewatt.slow.test.yml"
    ),
    "python packaging/set_version.py *": Elsewhere(
        "changes the repository", "tests/packaging/test_release.py", "set_version"
    ),
}
#: Blocks that are neither typed nor TOML: where each begins, and what it is.
NEITHER = {
    "each Jetson": "a picture",
    "# prometheus.yml": "Prometheus' configuration, of tests/scenarios/test_prometheus.py",
    "observe -> propose": "the way of a proposal",
    "class TestS3Lifecycle": "a test, as tests/coordinator/test_drivers.py has it",
    "./prepare": "docker compose: tests/documents/test_compose_lines.py types it",
    "for file in broker.crt": "the same",
    '"eds_config"': "Envoy's configuration, of tests/scenarios/test_router.py",
}
