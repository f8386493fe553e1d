"""The brain: boards, operating points, the decision, and the simulated board.

Pure. Time, measurements and chance are arguments; every function here can be replayed.
"""
