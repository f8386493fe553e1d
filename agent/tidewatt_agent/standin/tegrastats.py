"""The stand-in `tegrastats`: prints the lines of a simulated board, `--interval` in milliseconds.

Run as a program by path, with the board's socket as the first argument. It imports nothing
but the socket module, so that a demo of twenty boards stays small.
"""

import contextlib
import socket
import sys


def main() -> None:
    """Copy the board's lines to standard output until either side ends."""
    path, arguments = sys.argv[1], sys.argv[2:]
    interval_ms = arguments[arguments.index("--interval") + 1] if "--interval" in arguments else "1000"
    with contextlib.suppress(OSError, KeyboardInterrupt), socket.socket(socket.AF_UNIX) as board:
        board.connect(path)
        board.sendall(interval_ms.encode() + b"\n")
        while chunk := board.recv(65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
