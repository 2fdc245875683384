"""Sections of the report: a file each, whose `section` takes `Shown` and returns one, or None."""
