"""Runs, steps and values as the API shows them."""
