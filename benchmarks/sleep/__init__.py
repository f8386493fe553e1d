"""Ten simulated boards of which some sleep, against the clairvoyant bound with sleep and the same without."""
