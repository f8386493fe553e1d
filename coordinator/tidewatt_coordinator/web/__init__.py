"""What people and programs see: the REST API and the page."""
