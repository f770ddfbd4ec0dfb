"""The life of a run: load, create, append, end."""
