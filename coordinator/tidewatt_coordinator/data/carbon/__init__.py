"""The shipped carbon factors."""
