"""The engine over the ports: `runs` < `intake` < `drive`."""
