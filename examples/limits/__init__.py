"""Flow control: how much at a time, how fast, how often, and who goes first."""
