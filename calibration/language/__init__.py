"""Turn words into vectors: language models, word lists, and a cache on disk."""
