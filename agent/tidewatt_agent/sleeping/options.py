"""The command's options, apart from the command: the other commands stay light."""

import argparse

from tidewatt_agent.actuator.nap import SHORTEST_NAP_S
from tidewatt_agent.bounded import bounded

MOST_CYCLES = 1000
#: No policy lets a board sleep for longer than a day; the actuator's own bound is nearer.
LONGEST_NAP_S = 86_400.0
#: No Jetson draws as much.
MOST_WATTS = 1000.0


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> tuple[argparse.ArgumentParser, ...]:
    """Its subcommands' parsers; the configuration's option is the caller's to add."""
    parser = commands.add_parser("sleep", help="whether this board may sleep, and the trial that comes first")
    actions = parser.add_subparsers(required=True, metavar="qualify|status", dest="action")
    qualify = actions.add_parser(
        "qualify",
        help="let the board sleep and wake, again and again, and look whether it stays well",
        description="Suspends this board with an alarm, checks clock, network, broker, the configured health "
        "command, the application and the kernel's log after each resume, and keeps the verdict. Run it as "
        "root, with somebody near the board.",
        epilog="exit code: 0 it may sleep, 1 it may not, 2 the command line or a file is wrong",
    )
    qualify.add_argument(
        "--cycles", type=bounded(int, 1, MOST_CYCLES), default=20, metavar=f"1..{MOST_CYCLES}",
        help="naps (default: %(default)s)",
    )  # fmt: skip
    qualify.add_argument(
        "--nap", type=bounded(float, SHORTEST_NAP_S, LONGEST_NAP_S, "s"), default=SHORTEST_NAP_S,
        metavar="SECONDS", help="each (default: %(default)s)",
    )  # fmt: skip
    qualify.add_argument(
        "--asleep-watts",
        type=bounded(float, 0.0, MOST_WATTS, "W"),
        help="what an outside meter showed asleep; else its energy is unmeasured",
    )
    status = actions.add_parser("status", help="the verdict as it stands")
    return qualify, status
