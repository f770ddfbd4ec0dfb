"""Constructs for a user's apps: their Lambdas, queues, rules and steps."""
