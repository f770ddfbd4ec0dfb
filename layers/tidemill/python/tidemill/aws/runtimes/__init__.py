"""The runtimes of definitions' steps in AWS."""
