from __future__ import annotations

from e2e.conftest import dev as dev  # the fixture: a real `tidemill dev`, of which no process may be left over
