"""Fit the map from brain signals to words, and test it honestly.

In flow order: `recipe`, `events`, `design` (the live stages over a recording), `embeddings`,
`splits`, `ridge`, `scores`, `nulls`, `confidence`, `fit`, `report`.
"""
