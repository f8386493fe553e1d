"""The options of `tidewatt-agent enroll`, apart from its work, which loads more."""

import argparse


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """The command's options."""
    parser = commands.add_parser("enroll", help="get this device's certificate from the fleet's CA")
    parser.add_argument("url", nargs="?", metavar="URL", help="https://host:port of the coordinator")
    parser.add_argument("--token", help="as `tidewatt enroll token` printed it; - reads standard input")
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument(
        "--ca-fingerprint", metavar="SHA256", help="of the fleet's CA, as printed with the token"
    )
    trust.add_argument(
        "--ca", metavar="FILE", help="PEM file of the coordinator's CA (default: the system's)"
    )
    parser.add_argument("--write", action="store_true", help="set the keys in the configuration file, too")
    parser.add_argument("--renew", action="store_true", help="renew the certificate that is there, now")
    return parser
