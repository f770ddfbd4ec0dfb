"""Declarations, checked: every problem of a function is reported at once."""
