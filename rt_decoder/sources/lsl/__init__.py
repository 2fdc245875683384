"""Samples and markers from the Lab Streaming Layer."""
