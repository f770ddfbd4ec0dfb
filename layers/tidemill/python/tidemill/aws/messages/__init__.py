"""The messages in queues, on the bus and in schedules."""
