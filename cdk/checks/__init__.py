"""Limits and findings that fail a synth."""
