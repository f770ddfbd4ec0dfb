"""Everything that starts runs: events, admission, batches, reruns."""
