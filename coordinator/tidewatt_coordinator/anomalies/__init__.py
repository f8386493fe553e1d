"""Days that cost more than such days do."""
