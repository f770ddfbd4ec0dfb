"""Definitions: functions without an SDK, written as `*.function.json` files. `app(folder)` makes an app of them."""

from tidemill.definitions.folder import app as app
from tidemill.definitions.folder import read_file as read_file
