"""The hands: a root process without network that sets modes and caps, and puts back what it found.

It imports the standard library only, and of that neither asyncio nor pathlib (ADR 0045).
"""
