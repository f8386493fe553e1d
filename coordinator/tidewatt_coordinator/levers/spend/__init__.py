"""Levers on the bill itself: commitments, other clouds, AWS's own advice, tags, and the answer to a spike.
Most of them only recommend: what they propose is a purchase or a move.
"""
