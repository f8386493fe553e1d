"""Dispatch: how fast weights are found, and what they cost beside other ways."""
