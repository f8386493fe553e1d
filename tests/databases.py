"""A real PostgreSQL for tests, in a temporary folder: never root's, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
from tests.ports import free_port

PLACES = "/usr/lib/postgresql"


def postgres_programs() -> Path | None:
    """Where initdb and postgres are: the newest version of Debian's, or what PATH has."""
    versions = sorted(Path(PLACES).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(found).parent if found else None


class Postgres:
    """One server on a free port of 127.0.0.1; `fsync` is off, it holds nothing that matters.

    `lasting`: what it has acknowledged outlives its processes (`stop`, `run`), if not the machine.
    """

    def __init__(self, programs: Path, folder: Path, *, lasting: bool = False) -> None:
        self._programs, self._data, self._lasting = programs, folder / "data", lasting
        self._log = folder / "log"
        self._as: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._data.mkdir()
        if os.geteuid() == 0:  # it refuses to run as root
            pwd.getpwnam("postgres")
            shutil.chown(self._data, "postgres")
            for parent in (folder, *folder.parents):
                if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
            owner = ["--reuid=postgres", "--regid=postgres", "--init-groups"]
            self._as = ["setpriv", *owner, "--pdeathsig=QUIT"]  # tests that are killed leave no server
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster and start it; returns when it answers."""
        made = ["-A", "trust", "-U", "tidewatt", "-E", "UTF8", "--locale=C", "--no-sync"]
        command = [*self._as, str(self._programs / "initdb"), *made, "-D", str(self._data)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise RuntimeError(f"initdb ended with {done.returncode}: {done.stdout}{done.stderr}")
        self.port = free_port()
        self.run()

    def run(self) -> None:
        """Start it on the cluster as it is, and on the same port; returns when it answers."""
        settings = {
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "on" if self._lasting else "off",
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "128MB",
            "max_wal_size": "4GB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as, str(self._programs / "postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        ready = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        until = time.monotonic() + 60
        while subprocess.run(ready, check=False, capture_output=True).returncode:
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL doesn't start: {self._log.read_text()[-500:]}")
            time.sleep(0.02)

    def database(self, name: str) -> str:
        """A new, empty database; its URL."""
        asked = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "tidewatt", name]
        subprocess.run([str(self._programs / "createdb"), *asked], check=True, capture_output=True)
        return f"postgresql+psycopg://tidewatt@127.0.0.1:{self.port}/{name}"

    def follower(self, folder: Path) -> "Postgres":
        """A second server that follows this one, which from now on acknowledges only what both have."""
        second = Postgres(self._programs, folder, lasting=self._lasting)
        second._data.chmod(0o700)
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "tidewatt", "-D", str(second._data)]
        copy = [
            str(self._programs / "pg_basebackup"),
            *where,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
        ]
        subprocess.run([*self._as, *copy], check=True, capture_output=True, cwd="/")
        second.port = free_port()
        second.run()
        self._ask("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        until = time.monotonic() + 60
        while self._ask("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            if time.monotonic() > until:
                raise RuntimeError(f"nobody follows: {second._log.read_text()[-500:]}")
            time.sleep(0.02)
        return second

    def log(self) -> str:
        """What it said last, for whoever has to find out why it didn't do as it should."""
        return self._log.read_text()[-3000:]

    def promote(self) -> None:
        """Follow nobody any more, and take writes."""
        self._ask("SELECT pg_promote(true, 60)")

    def _ask(self, *questions: str) -> list[tuple[object, ...]]:
        """The answer to the last question."""
        place = {"host": "127.0.0.1", "port": self.port, "user": "tidewatt", "dbname": "postgres"}
        with psycopg.connect(autocommit=True, **place) as connection:  # type: ignore[arg-type] # a port
            for question in questions:
                answer = connection.execute(question)  # words of ours
            return answer.fetchall() if answer.description else []

    def cpu_s(self) -> float:
        """CPU seconds that the server and its processes have used, those that ended too."""
        assert self._process is not None
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(stat.parent.name) == self._process.pid:
                    ticks += sum(map(int, fields[11:15]))  # its own, and its ended children's
                elif int(fields[1]) == self._process.pid:
                    ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def backends(self) -> list[int]:
        """The processes that serve a connection each."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        titles = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in children}
        return [one for one, title in titles.items() if b" 127.0.0.1(" in title]

    def stop(self) -> None:
        """Stop it at once."""
        if self._process:
            self._process.send_signal(3)  # SIGQUIT: immediate
            self._process.wait(30)
            self._process = None
