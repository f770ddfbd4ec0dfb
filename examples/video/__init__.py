"""A video is uploaded: transcribe it, summarize it, write it to a database."""
