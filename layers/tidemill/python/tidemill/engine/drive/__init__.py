"""How a run's code is executed and replayed."""
