"""What the cloud costs: charges in from every source, out as FOCUS, checked against the invoice."""
