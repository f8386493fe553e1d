"""What a board is for the purpose of its sleep: kernel, JetPack, the application by its own command; and
where a packet would wake it.
"""

import re
from collections.abc import Sequence

from tidewatt_agent.sleeping.commands import run
from tidewatt_agent.sleeping.verdict import Identity
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.sleeping import MAC_PATTERN

RELEASE, BUILD, JETPACK = "proc/sys/kernel/osrelease", "proc/sys/kernel/version", "etc/nv_tegra_release"
#: Real seconds for the command that names the application.
LIMIT_S = 20.0
ADDRESSES = "sys/class/net/*/address"


async def identity_of(tree: Tree, application: Sequence[str]) -> tuple[Identity, str]:
    """The identity, and why the application's can't be told (empty if it can, or none is configured)."""
    named = await run(application, LIMIT_S)
    kernel = " ".join(part for part in (tree.read(RELEASE), tree.read(BUILD)) if part)
    jetpack = (tree.read(JETPACK) or "").partition("\n")[0]
    return Identity(kernel=kernel, jetpack=jetpack, application=named.said), named.why_not


def mac_of(tree: Tree) -> str | None:
    """The Ethernet address that a magic packet wakes the board by; None where no card is told to listen.

    `ethtool -s eth0 wol g` tells it, and shows in the device's power/wakeup.
    """
    for path in tree.find(ADDRESSES):
        card = path.removesuffix("/address")
        if tree.read(f"{card}/device/power/wakeup") != "enabled" or tree.exists(f"{card}/wireless"):
            continue
        address = (tree.read(path) or "").lower()
        if re.match(MAC_PATTERN, address):
            return address
    return None
