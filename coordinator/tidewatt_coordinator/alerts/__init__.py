"""What is said to people: once for each episode, with acknowledgement and recovery."""
