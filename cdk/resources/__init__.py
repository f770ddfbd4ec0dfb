"""The platform's own resources."""
