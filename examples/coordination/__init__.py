"""Event coordination: when this comes, do A; wait for that of the same user, then do B; if it does not come, C."""
