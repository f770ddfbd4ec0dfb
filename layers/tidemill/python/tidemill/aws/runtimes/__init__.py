"""What runs the steps of definitions in AWS."""
