"""The fleet side: it takes reports, keeps the ledger, steers traffic, and shows it all.

Start reading at app.py: it spells out everything the coordinator is, in order.
"""

from importlib.metadata import version

VERSION = version("tidewatt-coordinator")
