"""An invoice sleeps until it is due, is charged, and where that fails, reminds for days."""
