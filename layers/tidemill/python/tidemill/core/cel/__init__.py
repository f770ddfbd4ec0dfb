"""CEL expressions, evaluated within a budget of steps."""
