"""The first key: made when a coordinator starts with none, and shown once."""

import sys
from typing import TextIO

from tidewatt_coordinator.access.gate import now_ms
from tidewatt_coordinator.access.keys import KeyBook


def show_first_key(keys: KeyBook, to: TextIO | None = None) -> str:
    """Make an admin's key where there has never been one, and print it; empty if there has.

    Of two coordinators that start at once with an empty database each may make one: both are shown, and good.
    """
    if not keys.empty:
        return ""
    made, text = keys.make("admin", now_ms(), name="first key", made_by="first start")
    print(
        f"tidewatt: there was no key, so one is made. It is shown here and never again:\n\n    {text}\n\n"
        f"Log in with it, make others (tidewatt access key new), then: tidewatt access key revoke {made.id}",
        file=to or sys.stderr,
        flush=True,
    )
    return text
