"""Four stories that do real work: files are read, databases written, mails put into an outbox."""
