"""Functions without an SDK: `*.function.json` files, read and checked. `app(folder)` makes an app of them."""

from tidemill.definitions.folder import app as app
from tidemill.definitions.folder import read_file as read_file
