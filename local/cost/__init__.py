"""The cost of an app in AWS: prices and counted calls as data, and the arithmetic."""
