"""Webhooks that prove who sent them: of Stripe and of GitHub."""
