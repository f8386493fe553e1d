"""Joint planning of ten simulated devices against the clairvoyant joint bound, and each device alone."""
