"""What a user's Lambda runs: the handler and the executor."""
