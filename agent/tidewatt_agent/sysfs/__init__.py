"""The board read from /sys and /proc: cheaper than a child, and it sees caps, fan and over-current."""
