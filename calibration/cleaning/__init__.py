"""Fit the cleaning chain: a file a stage."""
