"""Fit the cleaning chain, one file per stage."""
