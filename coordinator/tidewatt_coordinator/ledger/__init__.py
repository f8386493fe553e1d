"""The ledger: every joule and every cent, from cumulative counters, exactly once.

arithmetic.py says what is true (pure), tables.py what is stored, store.py moves between them.
"""
