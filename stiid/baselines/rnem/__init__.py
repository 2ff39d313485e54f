"""R-NEM (van Steenkiste et al., ICLR 2018), with RNN-EM and R-NEM without attention as switches."""
