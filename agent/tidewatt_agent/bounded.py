"""Numbers on the command line, within bounds: what is beyond them is refused with both, in one sentence."""

import argparse
from collections.abc import Callable
from typing import TypeVar

N = TypeVar("N", int, float)


def bounded(kind: Callable[[str], N], least: N, most: N, unit: str = "") -> Callable[[str], N]:
    """What argparse makes of an option's text: a number from `least` to `most`."""

    def read(text: str) -> N:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:  # NaN is within nothing
            wanted = f"{least:g} to {most:g}{unit and f' {unit}'}"
            whole = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {whole} from {wanted}")
        return number

    return read
