"""The live loop and what watches it."""
