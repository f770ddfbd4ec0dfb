"""Checks of limits and findings that fail a synth."""
