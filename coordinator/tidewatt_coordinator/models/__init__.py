"""The forecast models that devices can have: files in a folder, and the commands that offer them."""
