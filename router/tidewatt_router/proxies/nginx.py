"""nginx: an include with one upstream per route, or one split_clients per route over pools; test, reload.

    upstream chat { server 10.0.0.1:8000 weight=3; server 10.0.0.2:8000 down; }
    split_clients "$request_id" $tidewatt_chat { 75.00% edge; * cloud; }

In nginx a weight is at least 1: what gets nothing is `down`, and finishes what it has begun. `max_conns`
holds a server to what it can take, and the others get the rest; as nginx answers 502 when all are full,
nobody is held unless one is left that takes any number. The file is replaced whole before the test, because
the test reads it; if it fails, or the reload does, the one before comes back.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tidewatt_link.durable import remove_file, replace_file
from tidewatt_router import rounding
from tidewatt_router.config import Config, Nginx
from tidewatt_router.proxies import Achieved, CannotApply
from tidewatt_router.proxies.commands import run
from tidewatt_router.routes import Backend, Route
from tidewatt_router.splits import Split, Wanted

#: The sum of an upstream's weights: nginx takes more, and nobody could measure it.
TOTAL = 1_000_000
#: split_clients reads two digits after the point.
HUNDREDTHS = 10_000
READABLE = 0o644
#: Shared by nginx's workers; enough for some thousand servers.
ZONE = "1m"


class NginxInclude:
    """The file and the program that reads it."""

    name = "nginx"
    #: A reload leaves the old workers to finish what they have: many in a row would pile up.
    pause_s = 5.0

    def __init__(self, config: Config, nginx: Nginx) -> None:
        self._nginx, self._timeout_s = nginx, config.router.command_s
        self._file = Path(nginx.include)
        self._backends: dict[str, Backend] = {backend.name: backend for backend in config.backend}
        self._routes: dict[str, Route] = {route.name: route for route in config.route}

    def weights(self, split: Split) -> Mapping[str, int]:
        """Of servers, or hundredths of a percent for pools."""
        if self._routes[split.route].pools:
            return rounding.to_total(split.parts, HUNDREDTHS)
        return rounding.of_total(split.parts, TOTAL)

    def achieved(self, split: Split) -> Achieved:
        """What the weights say."""
        weights = self.weights(split)
        return Achieved(rounding.shares(weights), 0.0 if any(weights.values()) else 1.0)

    def render(self, wanted: Wanted) -> str:
        """The file."""
        # No epoch: what doesn't change needs no reload.
        lines = ["# Written by tidewatt-router; what you write here is lost."]
        for split in wanted.splits:
            pools = self._routes[split.route].pools
            lines += self._split_clients(split) if pools else self._upstream(split)
        return "\n".join(lines) + "\n"

    def apply(self, wanted: Wanted) -> None:
        """Write, test, reload; or put the last good file back."""
        before = self._read()
        after = self.render(wanted).encode()
        try:
            if before != after:
                replace_file(self._file, after, READABLE)
            run(self._nginx.test, self._timeout_s)
            run(self._nginx.reload, self._timeout_s)
        except OSError as error:
            raise CannotApply(f"nginx.include {self._file}: {error.strerror}") from error
        except CannotApply:
            self._put_back(before)
            raise

    def stands(self, wanted: Wanted) -> bool:
        """Whether the file is as it was written. nginx can't be asked, and reads it at every start."""
        return self._read() == self.render(wanted).encode()

    def check(self) -> None:
        """Whether the folder is there and the configuration is good as it stands."""
        if not self._file.parent.is_dir():
            raise CannotApply(f"nginx.include {self._file}: there is no such folder")
        run(self._nginx.test, self._timeout_s)

    def _read(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotApply(f"nginx.include {self._file}: {error.strerror}") from error

    def _put_back(self, before: bytes | None) -> None:
        try:
            if before is None:
                remove_file(self._file)
            else:
                replace_file(self._file, before, READABLE)
        except OSError as error:
            raise CannotApply(f"nginx.include {self._file} can't be put back: {error.strerror}") from error

    def _upstream(self, split: Split) -> Iterator[str]:
        yield f"upstream {split.route} {{"
        most = split.most if any(split.parts[name] and name not in split.most for name in split.parts) else {}
        if most:
            yield f"    zone {split.route} {ZONE};"  # else each worker counts for itself
        for name, weight in self.weights(split).items():
            held = f" max_conns={most[name]}" if name in most else ""
            told = f"weight={weight}{held}" if weight else "down"
            yield f"    server {self._backends[name].address} {told};"
        yield from (f"    {line}" for line in self._nginx.directives)
        yield "}"

    def _split_clients(self, split: Split) -> Iterator[str]:
        hundredths = {name: part for name, part in self.weights(split).items() if part}
        *named, last = hundredths or ["refused"]  # no such upstream: nginx answers 502
        yield f'split_clients "{self._nginx.split_key}" ${_variable(split.route)} {{'
        for name in named:
            whole, rest = divmod(hundredths[name], 100)
            yield f"    {whole}.{rest:02}% {self._backends[name].server_name};"
        yield f"    * {self._backends[last].server_name if hundredths else last};"
        yield "}"


def _variable(route: str) -> str:
    return "tidewatt_" + "".join(letter if letter.isalnum() else "_" for letter in route)
