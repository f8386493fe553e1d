"""The shipped price book."""
