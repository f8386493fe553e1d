"""What all `tidewatt` commands share: which there are, how they print, and how they end."""
