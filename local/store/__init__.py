"""The stores of the local world: implementations of the ports on SQLite."""
