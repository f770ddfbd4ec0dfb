"""What travels through queues, the bus and schedules."""
