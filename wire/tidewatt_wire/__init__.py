"""What agents and the coordinator say to each other.

Units, topics, messages and their encoding, and strict TOML documents. Pure: nothing in
this package reads a clock, a file, a socket or chance; time and bytes are arguments.
"""
