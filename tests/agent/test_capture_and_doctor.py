"""Recording a board and examining it: what is kept, what never is, and answers that scripts may rely on."""

import json
import socket
import sys
import tarfile
from pathlib import Path

import pytest
from tests.world import BOARDS, HandClock, laid_out, recording

from tidewatt_agent import cli, doctor
from tidewatt_agent.capture import REMOVED, capture, redact
from tidewatt_agent.config import parse_config
from tidewatt_agent.finding import Finding
from tidewatt_agent.recognise import recognise
from tidewatt_agent.recording import Files, lay_out, load, save
from tidewatt_agent.spool import Entry, Spool
from tidewatt_agent.spoolcheck import trouble
from tidewatt_agent.sysfs.reader import find_nodes, look
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_link.command import ConfigFile
from tidewatt_wire.documents import DocumentError

ORIN_NANO = "orin-nano-super-jp62"
CONF = """\
# Hand-made in nvpmodel's grammar
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_1 /sys/devices/system/cpu/cpu1/online
<PARAM TYPE=CLOCK NAME=EMC >
MAX_FREQ /sys/kernel/nvpmodel_clk_cap/emc
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_1 1
EMC MAX_FREQ  2133000000
< POWER_MODEL NAME=25W ID=7 >
EMC MAX_FREQ -1
< PM_CONFIG DEFAULT=7 >
"""


def program(folder: Path, text: str) -> str:
    """An executable that says something and goes on living."""
    path = folder / "tegrastats"
    path.write_text(f"#!{sys.executable} -S\nimport sys, time\nprint({text!r}, flush=True)\ntime.sleep(60)\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("board", BOARDS)
def test_a_captured_board_reads_like_the_board(board: str, tmp_path: Path) -> None:
    with laid_out(board, tmp_path / "root"):
        tree = Tree(str(tmp_path / "root"))
        seen, identity = look(tree, find_nodes(tree), {}).sample, recognise(tree)
        save(capture(tree, [], 0.0), tmp_path / "recorded")
    again = load(tmp_path / "recorded")
    assert again.about.origin == "captured"
    assert again.about.family == recording(board).about.family
    lay_out(again.tree, tmp_path / "second")
    tree = Tree(str(tmp_path / "second"))
    assert look(tree, find_nodes(tree), {}).sample == seen
    assert recognise(tree) == identity


def test_what_is_private_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "camera-at-the-north-gate.example")
    with laid_out(ORIN_NANO, tmp_path / "root") as found:
        tree = tmp_path / "root"
        (tree / "proc/device-tree/serial-number").write_text("1421722054321\0")
        (tree / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, on 48:b0:2d:00:11:22\n")
        (tree / "etc/nvpmodel.conf").write_text(CONF)
        line = f"{found.tegrastats[0]} by camera-at-the-north-gate 1421722054321"
        kept = capture(Tree(str(tree)), [program(tmp_path, line)], 1.0)
        save(kept, tmp_path / "out")
    text = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    for secret in ("1421722054321", "48:b0:2d", "north-gate"):
        assert secret not in text
    assert "proc/device-tree/serial-number" not in kept.tree.files, "not even read"
    assert kept.tegrastats[0].endswith(f"by {REMOVED} {REMOVED}")
    assert parse_line(kept.tegrastats[0]).rails == parse_line(found.tegrastats[0]).rails
    assert 'name = "25W"' in kept.nvpmodel
    assert "2133000000" in kept.nvpmodel


def test_capture_keeps_every_line_of_a_chatty_program(tmp_path: Path) -> None:
    path = tmp_path / "tegrastats"
    path.write_text(
        f"#!{sys.executable} -S\nimport sys, time\n"
        "for n in range(1000): sys.stdout.buffer.write(b'RAM %d/9MB ' % n + b'x' * 400 + b'\\xff\\n')\n"
        "sys.stdout.flush(); time.sleep(60)\n"
    )
    path.chmod(0o755)
    lines = capture(Tree(str(tmp_path)), [str(path)], 1.5).tegrastats
    assert len(lines) == 1000
    assert lines[999].startswith("RAM 999/9MB")


def test_figures_are_not_taken_for_secrets() -> None:
    line = "05-09-2026 18:42:06 RAM 18207/62841MB CPU [14%@2188] VDD_IN 5000mW/5000mW 204000000 3199000000"
    assert redact(line) == line
    assert redact("mac AA-BB-CC-DD-EE-FF, serial 1424021054321.") == f"mac {REMOVED}, serial {REMOVED}."


def test_a_recording_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    for path in ("../outside", "/etc/passwd"):
        with pytest.raises(ValueError, match="leads out of the recording"):
            lay_out(Files(files={path: "x"}), tmp_path / "root")
    (tmp_path / "board.toml").write_text("[board]")
    with pytest.raises(DocumentError, match=r"board.toml: unknown key 'board'"):
        load(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, out, err


def test_capture_makes_a_new_folder_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with laid_out(ORIN_NANO, tmp_path / "root"):
        arguments = ["capture", str(tmp_path / "new"), "--minutes", "0", "--root", str(tmp_path / "root")]
        code, out, _ = run(capsys, *arguments)
        assert code == 0
        assert "NVIDIA Jetson Orin Nano" in out
        assert load(tmp_path / "new").about.family == "Orin Nano"
        code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err == f"tidewatt-agent: {tmp_path / 'new'} is there already; name a new folder\n"
    code, _, err = run(capsys, "capture", "x", "--minutes", "soon")
    assert code == 2


@pytest.mark.parametrize("board", BOARDS)
def test_the_doctor_on_every_board(board: str, tmp_path: Path, clock: HandClock) -> None:
    config = parse_config(
        f"[agent]\ndevice = 'a'\n[reader]\nroot = '{tmp_path}'\n[tegrastats]\ncommand = ['none']\n"
        f"[state]\nfolder = '{tmp_path}'",
        name="c",
    )
    with laid_out(board, tmp_path):
        found = {finding.id: finding for finding in doctor.examine(config, clock)}
    about = recording(board).about
    assert found["reader.sysfs"].level == "ok"
    assert found["reader.usable"].sentence == "sysfs will be used"
    assert f"L4T {about.l4t}" in found["board.recognised"].sentence
    assert about.jetpack in found["board.recognised"].sentence
    assert found["sensor.power"].level == "ok"
    assert found["board.profile"].level == ("ok" if board == ORIN_NANO else "warning")
    assert all(finding.remedy for finding in found.values() if finding.level != "ok"), "always what to do"


#: Scripts rely on these; a check may be added, none renamed.
IDS = {
    "config", "board.recognised", "board.profile", "reader.sysfs", "reader.tegrastats", "reader.usable",
    "sensor.power", "sensor.temperature", "sensor.gpu", "sensor.cpufreq", "sensor.emc", "sensor.fan",
    "sensor.over_current", "modes.conf", "rivals", "load.0", "link.broker", "state.folder", "spool", "clock",
}  # fmt: skip


def test_the_doctors_answers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: a connection is refused
        port = taken.getsockname()[1]
        file.write_text(
            "[agent]\ndevice = 'north-gate'\n"
            f"[reader]\nroot = '{tmp_path}'\n[tegrastats]\ncommand = ['none', '--password=secret']\n"
            f"[state]\nfolder = '{tmp_path}'\n[link]\nbroker = 'mqtt://127.0.0.1:{port}'\n"
            f"[[load]]\nurl = 'http://127.0.0.1:{port}/secret/metrics?token=secret#secret'\n"
            "labels = {customer = 'acme'}\n"
        )
        code, out, _ = run(capsys, "doctor", "--config", str(file), "--json")
        nothing = {finding["id"]: finding for finding in json.loads(out)}
        assert code == 2, "nothing can read this board"
        assert set(nothing) == IDS
        assert nothing["reader.usable"]["level"] == "error"
        assert "Connection refused" in nothing["load.0"]["sentence"]
        assert nothing["link.broker"]["sentence"] == f"127.0.0.1:{port}: Connection refused"

        with laid_out(ORIN_NANO, tmp_path):
            (tmp_path / "etc/nvpmodel.conf").write_text(CONF)
            archive = tmp_path / "bundle.tar.gz"
            code, out, _ = run(capsys, "doctor", "--config", str(file), "--bundle", str(archive))
    assert code == 1, "the broker and the application don't answer"
    lines = out.splitlines()
    assert lines[0] == f"ok       config               {file} is valid"
    assert "ok       modes.conf           /etc/nvpmodel.conf: 0 15W, 7 25W; default 7" in lines
    with tarfile.open(archive) as packed:
        assert {"doctor.json", "config.toml", "board/tree.toml"} <= set(packed.getnames())
        text = "".join(packed.extractfile(m).read().decode() for m in packed if m.isfile())  # type: ignore[union-attr]
    for secret in ("secret", "north-gate", "me:", "acme"):
        assert secret not in text


def test_the_doctor_looks_at_the_spool(tmp_path: Path, clock: HandClock) -> None:
    config = parse_config(
        f"[agent]\ndevice = 'a'\n[reader]\nroot = '{tmp_path}'\n[state]\nfolder = '{tmp_path}'\n"
        "[link]\nbroker = 'mqtt://127.0.0.1:1'",
        name="c",
    )

    def found() -> Finding:
        return next(finding for finding in doctor.examine(config, clock) if finding.id == "spool")

    path = tmp_path / "spool.db"
    assert found() == Finding("spool", "ok", f"{path} may grow to 16 MB")
    path.with_name("spool.db.broken").write_bytes(b"")
    assert found().level == "warning"
    assert found().remedy


def test_what_may_be_wrong_with_a_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = Spool(path, "f", "a", 10**7)
    spool.settle([Entry("e", 1, b"x" * 700)], ())
    spool.close()
    assert trouble(path, 16, lambda _: 10**9) is None
    for said, free, content in (
        ("the disk has 9 MB left, spool.max_mb = 16 may need more", 9_000_000, None),
        ("is no SQLite file", 10**9, b"no database"),
    ):
        if content:
            path.write_bytes(content)
        found = trouble(path, 16, lambda _, free=free: free)  # type: ignore[misc]
        assert found
        assert said in found[0]
    missing = trouble(tmp_path / "missing" / "spool.db", 16)
    assert missing
    assert "No such file" in missing[0]


def test_the_doctor_without_a_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = ConfigFile("/none/agent.toml", "TIDEWATT_AGENT")  # whatever this machine has
    monkeypatch.setattr(cli, "FILE", nowhere)
    code, out, _ = run(capsys, "doctor")
    assert code in (1, 2)
    assert out.startswith("warning  config               there is no /none/agent.toml")
    code, _, err = run(capsys, "doctor", "--config", "/nowhere/agent.toml")
    assert (code, err) == (2, "tidewatt-agent: /nowhere/agent.toml: No such file or directory\n")


def test_pinned_clocks_are_a_rival(tmp_path: Path, clock: HandClock) -> None:
    config = parse_config(f"[agent]\ndevice = 'a'\n[reader]\nroot = '{tmp_path}'", name="c")
    with laid_out(ORIN_NANO, tmp_path):
        policy = tmp_path / "sys/devices/system/cpu/cpufreq/policy4"
        # jetson_clocks pins to the mode's cap, which is below what the board could.
        (policy / "scaling_min_freq").write_text((policy / "scaling_max_freq").read_text())
        found = {finding.id: finding for finding in doctor.examine(config, clock)}
    assert found["rivals"].level == "warning"
    assert "clocks of policy4 are pinned" in found["rivals"].sentence


def test_a_state_folder_that_is_not_there(clock: HandClock) -> None:
    config = parse_config("[agent]\ndevice = 'a'\n[state]\nfolder = '/proc/none'", name="c")
    found = {finding.id: finding for finding in doctor.examine(config, clock)}
    assert found["state.folder"].level == "error"
