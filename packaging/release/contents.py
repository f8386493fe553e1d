"""Which Debian packages there are, and what each carries of others: which lock, for which Pythons."""

import msgspec

#: JetPack 6 (Ubuntu 22.04) and JetPack 7 (Ubuntu 24.04).
JETPACK = ("3.10", "3.12")
#: Servers: Ubuntu 22.04, Debian 12, Ubuntu 24.04, Debian 13.
SERVERS = ("3.10", "3.11", "3.12", "3.13")


class Artefact(msgspec.Struct, frozen=True):
    """A Debian package."""

    lock: str
    """requirements/LOCK.txt."""
    pythons: tuple[str, ...]
    wheels: tuple[str, ...] = ()
    """Our own in it."""
    only: tuple[str, ...] = ()
    """Of the lock, these alone; empty: everything."""


ARTEFACTS = {
    "tidewatt-agent": Artefact("device", JETPACK, ("wire", "governor", "agent")),
    # Of the runtime's dependencies, those that inference imports.
    "tidewatt-agent-forecast": Artefact("forecast", JETPACK, only=("onnxruntime", "numpy")),
    "tidewatt-router": Artefact("router", JETPACK, ("wire", "router")),
    # The agent, too: `tidewatt run` shows a fleet of simulated boards.
    "tidewatt-coordinator": Artefact("coordinator", SERVERS, ("wire", "governor", "agent", "coordinator")),
}
