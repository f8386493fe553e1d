"""The daemon on each Jetson: it reads the board and the load, decides, acts, reports.

Start reading at daemon.py: it spells out everything the agent is, in order.
"""
