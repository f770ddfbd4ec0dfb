"""The server process: its loop, its timers, its queues."""
