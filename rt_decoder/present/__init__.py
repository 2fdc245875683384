"""Show words to a participant, and mark when; the command `present`."""
