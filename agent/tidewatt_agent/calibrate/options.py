"""The command's options, apart from the command: the other commands stay light."""

import argparse
from pathlib import Path

from tidewatt_agent.bounded import bounded
from tidewatt_governor.fitting import MOST_MEASUREMENTS

METHODS = ("GET", "POST", "PUT", "HEAD")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """The command's own options; the configuration's is the caller's to add."""
    parser = commands.add_parser(
        "calibrate",
        help="measure this board's operating points under load on your application",
        description="Sends a bounded load to your application in each mode that the policy allows, reads the "
        "power, and writes a board profile. Take other traffic away from the board meanwhile.",
        epilog="exit code: 0 a profile was written, 1 it could not be measured, 2 something is wrong with "
        "the command line or a file, 130 stopped; the board is put back however it ends",
    )
    parser.add_argument("--url", required=True, help="of a typical request: http://127.0.0.1:8000/embed")
    parser.add_argument("--method", choices=METHODS, help="default: GET, with a body POST")
    parser.add_argument("--body-file", type=Path, metavar="FILE", help="what to send with each request")
    parser.add_argument(
        "--content-type", default="application/json", help="of the body (default: %(default)s)"
    )
    parser.add_argument("--for", dest="time", default="20s", help="per measurement (default: %(default)s)")
    parser.add_argument(
        "--max-points",
        type=bounded(int, 3, MOST_MEASUREMENTS),
        default=MOST_MEASUREMENTS,
        metavar=f"3..{MOST_MEASUREMENTS}",
        help="measurements in all (default: %(default)s)",
    )
    parser.add_argument(
        "--max-rps", type=float, default=2000.0, help="never ask faster (default: %(default)s)"
    )
    parser.add_argument(
        "--this-mode-only", action="store_true", help="measure the present mode, switch nothing"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.toml", help="default: PROFILE-calibrated.toml, here"
    )
    return parser
