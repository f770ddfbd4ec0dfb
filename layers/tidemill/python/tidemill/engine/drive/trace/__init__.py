"""Where the user's code stands: frames, stacks, coverage, and the logger that relies on them."""
