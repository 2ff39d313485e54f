"""A rendered stand-in for CLEVRER: colored solids on a floor."""
