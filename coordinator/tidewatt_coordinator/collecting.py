"""The garbage collector looks seldom: a batch of reports makes a hundred thousand objects, and no ring.

With Python's own pace (a look after 700 new objects) it took a sixth to a third of what a report costs.
"""

import gc

#: New objects until the young are looked at; then so many of these until the next older are.
PACE = (50_000, 20, 50)


def collect_seldom() -> None:
    """From now on, in this process; what there is by now, modules above all, is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*PACE)
