"""The stores of the local world: SQLite behind the ports."""
