"""Scenarios that come with the product: the reference service, and what may be asked of a world."""
