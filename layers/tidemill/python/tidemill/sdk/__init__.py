"""The types that a user's code works with: steps, context, triggers, options."""
