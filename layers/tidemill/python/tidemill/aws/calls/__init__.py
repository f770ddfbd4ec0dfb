"""Signed HTTP calls to AWS."""
