"""The user's code: found, loaded, and loaded again when it changes."""
