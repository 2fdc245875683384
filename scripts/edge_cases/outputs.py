"""Outputs that would destroy something."""

from __future__ import annotations
