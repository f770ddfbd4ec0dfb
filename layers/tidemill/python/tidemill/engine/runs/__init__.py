"""What a run is: loaded, created, appended to, ended."""
