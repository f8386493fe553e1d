"""How AWS is asked: every request is validated against botocore's model before it is sent, and every
refusal is told by what it means. Metrics are read in batches, and orders of several steps one after another.
"""
