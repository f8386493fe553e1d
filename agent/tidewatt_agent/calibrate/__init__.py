"""`tidewatt-agent calibrate`: a bounded load sweep against the user's own application.

Which rate to try is decided in tidewatt_governor.calibrate; here is what it takes to try it.
"""
