"""The local world: `tidemill dev`, the command line, and the stores and processes behind them."""
