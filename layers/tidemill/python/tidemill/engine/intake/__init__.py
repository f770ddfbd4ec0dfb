"""What makes a run begin: events, admission, batches, reruns."""
