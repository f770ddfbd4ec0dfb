"""The position of the user's code: frames, stacks, coverage, and the logger that uses them."""
