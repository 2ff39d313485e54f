"""Convolutions and sums in the forms that XLA:CPU runs fast."""
