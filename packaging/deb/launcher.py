#!/usr/bin/python3 -IB
"""Start the program that this file is named after, with what is installed for the system's Python."""

import os
import pwd
import sys

MODULES = {
    "tidewatt": "tidewatt_coordinator.__main__",
    "tidewatt-agent": "tidewatt_agent.cli",
    "tidewatt-actuator": "tidewatt_agent.actuator.cli",
    "tidewatt-router": "tidewatt_router.cli",
}
# Packages that may be installed side by side share no file.
HOMES = {"tidewatt": "/usr/lib/tidewatt-coordinator", "tidewatt-router": "/usr/lib/tidewatt-router"}
SERVICE = "tidewatt-coordinator"
PROGRAM = os.path.basename(sys.argv[0])
HOME = HOMES.get(PROGRAM, "/usr/lib/tidewatt")


def become(name: str) -> None:
    """Go on as the service's user: what root wrote here (keys, the ledger), the service could not read."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.umask(0o077)
    os.environ["HOME"] = user.pw_dir


python = f"{HOME}/py{sys.version_info[0]}{sys.version_info[1]}"
if not os.path.isdir(python):
    names = sorted(name[2:] for name in os.listdir(HOME) if name[:2] == "py" and "-" not in name)
    held, found = ", ".join(f"{name[0]}.{name[1:]}" for name in names), sys.version.split()[0]
    sys.exit(f"{sys.argv[0]}: this package holds what Python {held} needs; the system's is {found}")
sys.path[:0] = [f"{HOME}/app", python]
sys.path.append(f"{python}-forecast")
# Compiled once, each in its own folder: what root loads must not be what another user can write.
cache = os.environ.get("CACHE_DIRECTORY")
if PROGRAM == "tidewatt":
    if os.geteuid() == 0:
        become(SERVICE)
    cache = cache or f"/var/cache/{SERVICE}"
    if os.geteuid() == 0 or not os.access(cache, os.W_OK):
        cache = None
if cache:
    sys.pycache_prefix, sys.dont_write_bytecode = cache, False

module = __import__(MODULES[PROGRAM], fromlist=["main"])
sys.exit(module.main())
