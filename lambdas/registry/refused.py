"""The error for an invalid request of a stack."""

from __future__ import annotations

SAME = "deploy with the constructs of the same version of tidemill as the deployment that this stack joins"


class Refused(Exception):
    """A stack's request is invalid; the stack's events show the sentence."""
