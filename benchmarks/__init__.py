"""Side-by-side measurements: `make bench-NAME` runs benchmarks/NAME.py.

Each measures ratios against a peer, or distances from a limit, in one run on one machine,
prints a table and writes benchmarks/results/NAME.json in one shape for all.
"""

import os

# As the agent has it: matrices of a forecast are too small for more than one thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
