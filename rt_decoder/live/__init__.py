"""The live loop and its watchers."""
