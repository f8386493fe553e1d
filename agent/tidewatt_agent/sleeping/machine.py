"""What a board is for the purpose of its sleep: kernel, JetPack, and the application by its own command."""

from collections.abc import Sequence

from tidewatt_agent.sleeping.commands import run
from tidewatt_agent.sleeping.verdict import Identity
from tidewatt_agent.sysfs.tree import Tree

RELEASE, BUILD, JETPACK = "proc/sys/kernel/osrelease", "proc/sys/kernel/version", "etc/nv_tegra_release"
#: Real seconds for the command that names the application.
LIMIT_S = 20.0


async def identity_of(tree: Tree, application: Sequence[str]) -> tuple[Identity, str]:
    """The identity, and why the application's can't be told (empty if it can, or none is configured)."""
    named = await run(application, LIMIT_S)
    kernel = " ".join(part for part in (tree.read(RELEASE), tree.read(BUILD)) if part)
    jetpack = (tree.read(JETPACK) or "").partition("\n")[0]
    return Identity(kernel=kernel, jetpack=jetpack, application=named.said), named.why_not
