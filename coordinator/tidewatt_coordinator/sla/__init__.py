"""What services promise, and whether they keep it."""
