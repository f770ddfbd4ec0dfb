"""`python -m tidemill_local.cli` is `tidemill`."""

from __future__ import annotations

import sys

from tidemill_local.cli import main

if __name__ == "__main__":
    sys.exit(main())
