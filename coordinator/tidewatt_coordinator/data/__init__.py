"""Dated data files: prices with their source."""
