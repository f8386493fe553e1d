#!/usr/bin/python3 -IB
"""Start the program that this file is named after, with what is installed for the system's Python."""

import os
import sys

MODULES = {
    "tidewatt-agent": "tidewatt_agent.cli",
    "tidewatt-actuator": "tidewatt_agent.actuator.cli",
    "tidewatt-router": "tidewatt_router.cli",
}
PROGRAM = os.path.basename(sys.argv[0])
# Packages that may be installed side by side share no file.
HOME = "/usr/lib/tidewatt-router" if PROGRAM == "tidewatt-router" else "/usr/lib/tidewatt"

python = f"{HOME}/py{sys.version_info[0]}{sys.version_info[1]}"
if not os.path.isdir(python):
    names = sorted(name[2:] for name in os.listdir(HOME) if name[:2] == "py" and "-" not in name)
    held, found = ", ".join(f"{name[0]}.{name[1:]}" for name in names), sys.version.split()[0]
    sys.exit(f"{sys.argv[0]}: this package holds what Python {held} needs; the system's is {found}")
sys.path[:0] = [f"{HOME}/app", python]
sys.path.append(f"{python}-forecast")
# Compiled once, each in its own folder: what root loads must not be what another user can write.
cache = os.environ.get("CACHE_DIRECTORY")
if cache:
    sys.pycache_prefix, sys.dont_write_bytecode = cache, False

module = __import__(MODULES[PROGRAM], fromlist=["main"])
sys.exit(module.main())
