"""Finds and loads the user's code, and reloads it when it changes."""
