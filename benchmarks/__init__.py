"""Side-by-side measurements: `make bench-NAME` runs benchmarks/NAME.py.

Each measures ratios against a peer, or distances from a limit, in one run on one machine,
prints a table and writes benchmarks/results/NAME.json in one shape for all.
"""
