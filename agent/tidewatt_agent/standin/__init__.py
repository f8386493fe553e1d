"""The stand-in machine room: simulated boards behind the same doors as real ones.

One process holds the boards of a demo fleet and the traffic that reaches them. Each board
shows itself as a real one does: tegrastats lines, an actuator socket, an application with a
metrics page. Nothing in the agent knows that a board is simulated.
"""
