"""Why a stack cannot be as it asks to be."""

from __future__ import annotations


class Refused(Exception):
    """What a stack asks for cannot be; the sentence stands in the stack's events."""
