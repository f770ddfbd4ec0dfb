"""The worker processes that run the user's code, and how runs reach them."""
