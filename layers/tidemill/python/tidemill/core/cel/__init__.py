"""Evaluates CEL expressions within a budget of steps."""
