"""Who changed what, when, and why: a chain of entries that can't be bent without being seen.

actor.py -> who acts: the operating system's user, a caller of REST, or the coordinator itself
chain.py -> one entry, its digest, and what holds a chain together; pure
store.py -> the chain in the ledger's database: appended to in the transaction of the change itself
    noting.py -> the same for what commands change in folders
    guard.py -> looks at the chain every hour, and tells its head outside
"""
