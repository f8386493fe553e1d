"""Game days: what fails is simulated, and what that costs is told."""
