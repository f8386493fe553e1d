"""A real router process, and what its page says of it."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.ports import free_port
from tests.sealing import PUBLIC
from tests.secured import SecuredMosquitto
from tests.world import until

from tidewatt_router.status import RouterSilentError, Status, fetch, summarise

PROGRAM = [sys.executable, "-m", "tidewatt_router"]


class RouterProcess:
    """`tidewatt-router run`, and what its page says."""

    def __init__(self, folder: Path, broker: SecuredMosquitto, socket: Path, names: tuple[str, ...]) -> None:
        shown = broker.pki.shown("router")
        self.listen = f"127.0.0.1:{free_port()}"
        self.config = folder / "router.toml"
        (folder / "state").mkdir()
        places = "".join(f'[[backend]]\nname = "{name}"\nserver = "s-{name}"\n' for name in names)
        self.config.write_text(
            f'[router]\nfleet = "f"\ntick_s = 0.05\nverify_s = 0.1\n'
            f'[link]\nbroker = "{broker.url}"\nca = "{shown.ca}"\ncertificate = "{shown.certificate}"\n'
            f'policy_keys = ["{PUBLIC}"]\n[state]\nfolder = "{folder}/state"\n'
            f'[metrics]\nlisten = "{self.listen}"\n[haproxy]\nsocket = "{socket}"\n'
            f'{places}[[route]]\nname = "r"\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "tidewatt_router",
            "run",
            "--until-eof",
            "--config",
            str(self.config),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def stop(self) -> int:
        assert self._process
        self._process.terminate()
        code = self._process.wait(20)
        assert self._process.stdin
        self._process.stdin.close()
        self._process = None
        return code

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self.stop()

    def status(self) -> Status:
        with contextlib.suppress(RouterSilentError):
            return summarise(fetch(self.listen))
        return Status()

    async def does(self, true: Callable[[Status], object]) -> None:
        await until(lambda: true(self.status()))

    def said(self, *arguments: str) -> tuple[int, str]:
        command = [*PROGRAM, *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def started(router: RouterProcess) -> Iterator[RouterProcess]:
    router.start()
    try:
        yield router
    finally:
        router.kill()


def follows(epoch: int, source: str = "table") -> Callable[[Status], bool]:
    def is_so(found: Status) -> bool:
        return (
            found.applied.get("haproxy") == epoch
            and found.in_step.get("haproxy", False)
            and found.routes["r"].source == source
        )

    return is_so
