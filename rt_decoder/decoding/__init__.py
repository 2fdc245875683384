"""Turn a window of samples into a word."""
