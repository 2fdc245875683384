"""Fit the map from brain signals to words, and test it on data that it never saw.

In flow order: `events`, `cleaning`, `design` (the live stages over a recording), `splits`,
`language`, `targets`, `ridge`, `confidence`, `fit`, `evaluate`, `report`.
"""
