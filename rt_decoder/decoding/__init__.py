"""From a window of samples to a word."""
