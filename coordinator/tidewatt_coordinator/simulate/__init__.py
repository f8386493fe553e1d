"""What-if: recorded demand lived again through the same governor, dispatch and price code (ADR 0036)."""
