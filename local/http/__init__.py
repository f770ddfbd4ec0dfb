"""HTTP/1.1 of the dev server."""
