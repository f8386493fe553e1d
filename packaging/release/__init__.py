"""What the programs by which a release is made share: packages, wheels, bills of materials."""
