"""The code of a user's Lambda: the handler and the executor."""
