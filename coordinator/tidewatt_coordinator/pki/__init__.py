"""The fleet's own CA: certificates for devices, broker and coordinator, tokens, and revocation."""
