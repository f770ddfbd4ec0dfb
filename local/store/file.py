"""The data file in the file system: checks that it is the file that was opened, and private to its owner.

SQLite does not notice that its file was removed (later writes are lost when the process ends), nor, at the next start,
that the file was emptied (it treats it as new). A mark beside the file says that it has held data.
"""

from __future__ import annotations

import os
from pathlib import Path

from tidemill_local.store.errors import StoreError

FILE = "tidemill.db"
BEGUN = "tidemill.begun"  # the mark


class DataFile:
    def __init__(self, folder: Path) -> None:
        """Makes a new file. Raises StoreError if a file with data is empty or gone, OSError if none can be made."""
        self.path = folder / FILE
        self._mark = folder / BEGUN
        self._known: list[tuple[str, tuple[int, int]]] = []
        if self._mark.exists() and not _size(self.path):
            what = "is empty" if self.path.exists() else "is gone"
            raise StoreError(
                f"the data file {self.path} {what}, and it held data: put a copy back, or remove the folder {folder} "
                "to start again"
            )
        _own(self.path)

    def opened(self) -> None:
        """Mark the file as a database, which has to exist from now on."""
        _own(self._mark)
        log = Path(f"{self.path}-wal")
        found = [(str(path), _stat(str(path))) for path in (self.path, log)]
        self._known = [(path, (stat.st_dev, stat.st_ino)) for path, stat in found if stat is not None]

    def problem(self) -> str | None:
        """Why writes would be lost now, or None; two system calls."""
        sizes: list[int] = []
        for path, identity in self._known:
            found = _stat(path)
            if found is None or (found.st_dev, found.st_ino) != identity:
                what = "is gone" if found is None else "is another one than this server opened"
                return (
                    f"the data file {path} {what}: nothing can be kept; stop the server, see to the folder, start again"
                )
            sizes.append(found.st_size)
        if not any(sizes[:1]):  # the first bytes of a database
            return f"the data file {self.path} was emptied: nothing can be kept; stop the server, put a copy back"
        return None


def _own(path: Path) -> None:
    """Create the file if missing, readable only by its owner; SQLite's files beside it get the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
