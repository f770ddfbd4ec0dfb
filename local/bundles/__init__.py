"""Runs as files: exported from a server, replayed against code, turned into tests."""
