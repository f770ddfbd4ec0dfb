"""The server process of `tidemill dev`: its loop, timers and queues."""
