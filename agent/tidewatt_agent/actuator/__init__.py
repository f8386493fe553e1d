"""The hands: a root process without network that sets modes and caps, and puts back what it found.

It imports the standard library and msgspec only, and nothing here imports asyncio.
"""
