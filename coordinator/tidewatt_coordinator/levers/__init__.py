"""What can be changed for less money: here what all drivers share, in the rooms the drivers by subject.

Begin at driver.py, the Protocol; drivers.py lists every one of them.
"""
