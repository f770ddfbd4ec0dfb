"""One event, five functions in two apps. None knows of the others; each is retried on its own."""
