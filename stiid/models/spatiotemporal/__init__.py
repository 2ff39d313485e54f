"""The paper's model; without its time axis IODINE."""
