"""Why a stack cannot be as it asks to be."""

from __future__ import annotations

SAME = "deploy with the constructs of the same version of tidemill as the deployment that this stack joins"


class Refused(Exception):
    """What a stack asks for cannot be; the sentence stands in the stack's events."""
