"""What the programs of this folder share, by which a release is made: packages, wheels, bills of materials."""
