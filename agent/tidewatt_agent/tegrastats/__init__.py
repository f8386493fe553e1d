"""NVIDIA's tegrastats: its lines, and the child process that prints them."""
