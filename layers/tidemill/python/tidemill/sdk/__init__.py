"""What a user's code holds in its hands: steps, context, triggers, options."""
