"""Fits of many people: who they are, one cell, many cells at once, and the table of all."""
