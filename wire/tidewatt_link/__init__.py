"""What every process of ours does with the world: reach a broker, replace a file, be asked to stop.

It comes in tidewatt-wire's wheel and is no part of `tidewatt_wire`, which touches neither clock nor disk nor
network. aiomqtt is the caller's dependency.
"""
