"""Board profiles: dated data files with the source of each figure."""
