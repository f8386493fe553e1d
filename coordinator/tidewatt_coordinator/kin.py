"""Processes of our own that run on this Python: what they are started with."""

import os
import sys


def environment() -> dict[str, str]:
    """The environment in which a child finds the modules that we have found, wherever they are installed.

    A package's launcher puts its folders into sys.path and nowhere else, so that other programs that we start
    (a credential helper in Python, for instance) don't find ours.
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths}
