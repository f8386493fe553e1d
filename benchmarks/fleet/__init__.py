"""A fleet of simulated devices on one real Mosquitto with TLS: pushes, storms, a broker that dies."""
