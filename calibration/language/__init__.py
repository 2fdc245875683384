"""Words to vectors: language models and word lists."""
