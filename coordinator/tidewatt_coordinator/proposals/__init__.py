"""What is to be changed: proposed, judged, approved, applied, watched, kept or rolled back, by a journal."""
