"""The keys that policy sets are signed with: files in a folder, and the commands that make them."""
