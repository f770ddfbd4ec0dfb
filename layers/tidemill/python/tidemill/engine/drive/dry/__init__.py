"""Replay code over a journal with no effect, and tell the first difference."""
