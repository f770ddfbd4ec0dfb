"""Executes and replays the code of runs."""
