"""Checks the declarations of functions, and reports every problem of a function at once."""
