"""The daemon beside a proxy: it takes the fleet's signed routing weights and has the proxy follow them.

Start reading at daemon.py: it spells out everything the router is, in order.
"""

from importlib.metadata import version

VERSION = version("tidewatt-router")
