"""Samples and markers from a FieldTrip buffer."""
