"""How Python values are remembered, restored, shown and sent."""
