"""An order that takes more than one call. Pure."""

from collections.abc import Callable

from tidewatt_coordinator.levers.driver import LeverError, Unsure


def in_order(*steps: Callable[[], object]) -> None:
    """Take one step after the other.

    A refusal of the first changed nothing and is told as it is; of a later one it is Unsure, whatever the
    reason: reading tells how far it came.
    """
    for index, step in enumerate(steps):
        try:
            step()
        except LeverError as error:
            if index and not isinstance(error, Unsure):
                raise Unsure(f"{index} of {len(steps)} steps were done: {error}") from error
            raise
