"""The local world: `tidemill dev`, the command line, Mill, and the stores and processes behind them."""
