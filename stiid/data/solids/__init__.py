"""A rendered substitute for CLEVRER: colored solids on a floor."""
