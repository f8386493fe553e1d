"""Which Debian packages and images there are, and what each carries: which lock, for which Pythons."""

import msgspec

#: JetPack 6 (Ubuntu 22.04) and JetPack 7 (Ubuntu 24.04).
JETPACK = ("3.10", "3.12")
#: Servers: Ubuntu 22.04, Debian 12, Ubuntu 24.04, Debian 13.
SERVERS = ("3.10", "3.11", "3.12", "3.13")


BOTH = ("amd64", "arm64")


class Artefact(msgspec.Struct, frozen=True):
    """A Debian package, or the container's image."""

    lock: str
    """requirements/LOCK.txt."""
    pythons: tuple[str, ...]
    wheels: tuple[str, ...] = ()
    """Our own in it."""
    only: tuple[str, ...] = ()
    """Of the lock, these alone; empty: everything."""
    architectures: tuple[str, ...] = BOTH
    """For which a release brings it."""
    kind: str = "deb"
    """Of its package URL; the image's is docker."""


ARTEFACTS = {
    "tidewatt-agent": Artefact("device", JETPACK, ("wire", "governor", "agent"), architectures=("arm64",)),
    # Of the runtime's dependencies, those that inference imports.
    "tidewatt-agent-forecast": Artefact(
        "forecast", JETPACK, only=("onnxruntime", "numpy"), architectures=("arm64",)
    ),
    "tidewatt-router": Artefact("router", JETPACK, ("wire", "router")),
    # The agent, too: `tidewatt run` shows a fleet of simulated boards.
    "tidewatt-coordinator": Artefact("coordinator", SERVERS, ("wire", "governor", "agent", "coordinator")),
    # By packaging/container/Dockerfile; its Python is its base's.
    "tidewatt-coordinator-image": Artefact(
        "image", ("3.12",), ("wire", "governor", "coordinator"), kind="docker"
    ),
}
