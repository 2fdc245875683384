"""What a language says of the next word, before the brain is asked."""
