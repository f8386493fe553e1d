"""Dated facts that the agent ships with."""
