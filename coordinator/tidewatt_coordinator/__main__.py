"""`python -m tidewatt_coordinator` is `tidewatt`."""

import sys


def main() -> None:
    """Run the command; Ctrl-C while it is still being loaded ends it without a word."""
    try:
        from tidewatt_coordinator.cli import main as run  # noqa: PLC0415 - the load is what may be interrupted

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
