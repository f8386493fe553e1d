"""The login page: one HTML file and one style sheet."""
