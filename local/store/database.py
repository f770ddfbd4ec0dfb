"""The data file of the local world: opens and locks it, and writes in transactions that many calls share.

*Group commit.* The first write opens a transaction; the owner of the database ends it with `commit()`, once for all
writes, and only then sends answers. Reads see uncommitted writes.

*A failed write fails the whole transaction.* When the disk is full, SQLite rolls back the whole transaction, including
earlier calls. So after a StoreError every further write, and `commit()` itself, raises it again: no caller believes
that a lost write was kept. After that the database works as before.

One connection; calls must not overlap. No other process writes to the file, so the stores cache rows that they have
read or written if that saves a read; a rollback clears these caches.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from tidemill.warm import Warm
from tidemill_local.store import lock, schema
from tidemill_local.store.blobs import SqliteBlobs
from tidemill_local.store.errors import StoreError, StoreFullError
from tidemill_local.store.events import SqliteEvents
from tidemill_local.store.file import FILE, DataFile
from tidemill_local.store.flow import SqliteFlow
from tidemill_local.store.jobs import SqliteJobs
from tidemill_local.store.logs import SqliteLogs
from tidemill_local.store.pauses import SqlitePauses
from tidemill_local.store.runs import SqliteRuns
from tidemill_local.store.waits import SqliteWaits

__all__ = ["FILE", "MEMORY", "PATIENCE", "Database", "Row", "Value"]

MEMORY = ":memory:"
PATIENCE = 2.0  # seconds to wait for the lock of a server that was just killed

_CACHE_KIB = 8 * 1024  # the operating system caches the file as well; memory must not grow with the data
_CHECKPOINT_PAGES = 4_000  # 16 MB of log: a larger log means fewer writes, and longer checkpoints
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")  # the second: over a quota, or over `ulimit -f`
_BUSY_SECONDS = 5.0  # for people who read the file with another tool

Value = str | int | float | bytes | None
Row = tuple[Any, ...]


class Database:
    """The stores of a data folder, or of a test (":memory:").

    Raises StoreError if another server uses the folder, if it cannot be written, or if another version of Tidemill
    (or nobody of the kind) wrote it. `durable`: a commit also survives a power cut.
    """

    def __init__(
        self, path: str | Path, durable: bool = False, patience: float = PATIENCE, warm: Warm | None = None
    ) -> None:
        self.dirty = False  # there is something to commit
        self._lost: StoreError | None = None
        self._lock: int | None = None
        self._file: DataFile | None = None
        if path == MEMORY:
            self._connection = _prepared(_connected(MEMORY), durable)
        else:
            self._lock, self._connection, self._file = _opened(Path(path), durable, patience)
        self._execute = self._connection.execute
        self.runs = SqliteRuns(self, warm)
        self.events = SqliteEvents(self)
        self.waits = SqliteWaits(self)
        self.blobs = SqliteBlobs(self)
        self.flow = SqliteFlow(self)
        self.logs = SqliteLogs(self)
        self.pauses = SqlitePauses(self)
        self.jobs = SqliteJobs(self)

    def write(self, sql: str, values: Sequence[Value] = ()) -> sqlite3.Cursor:
        """Execute one writing statement in the open transaction. An IntegrityError undoes only this statement."""
        if self._lost is not None:
            raise _again(self._lost)
        try:
            if not self.dirty:
                self._execute("BEGIN")
                self.dirty = True
            return self._execute(sql, values)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            raise self._lose(error) from error

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        try:
            return self._execute(sql, values).fetchall()
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise (self._lose(error) if self.dirty else _explained(error)) from error

    def each(self, sql: str, values: Sequence[Value] = ()) -> Generator[Row, None, None]:
        """The rows one by one, for callers that may stop early; close it before the next write."""
        try:
            yield from self._execute(sql, values)
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise (self._lose(error) if self.dirty else _explained(error)) from error

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        found = self.rows(sql, values)
        return found[0] if found else None

    def commit(self) -> None:
        """Commit the writes since the last commit. Raises StoreError if that fails, or a write was lost before."""
        if not self.dirty:
            return
        if self._lost is None:
            try:
                self._check_kept()
                self._execute("COMMIT")
            except sqlite3.DatabaseError as error:
                self._lose(error)
        lost, self._lost, self.dirty = self._lost, None, False
        if lost is not None:
            raise _again(lost)

    def _check_kept(self) -> None:
        """Check that the data file still exists: a commit to a deleted file would be lost."""
        problem = self._file.problem() if self._file is not None else None
        if problem is not None:
            self.rollback()
            raise StoreError(problem)

    def rollback(self) -> None:
        """Discard the writes since the last commit."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")
        self.runs.forget()
        self.events.forget()
        self.waits.forget()
        self.pauses.forget()
        self.flow.forget_all()
        self._lost, self.dirty = None, False

    def close(self) -> None:
        """Close the file and unlock the folder, without a commit. Harmless to do twice."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lose(self, error: sqlite3.DatabaseError) -> StoreError:
        self.rollback()
        self._lost, self.dirty = _explained(error), True
        return self._lost


def _opened(folder: Path, durable: bool, patience: float) -> tuple[int, sqlite3.Connection, DataFile]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # events may be confidential; also fixes a file that an older version made
        held = lock.acquire(folder, patience)
    except OSError as error:
        kind = StoreFullError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else StoreError
        raise kind(
            f"the data folder {folder} cannot be used ({error.strerror}): make it a folder that can be written, "
            "or give --data another one"
        ) from error
    try:
        file = DataFile(folder)
        connection = _connected(str(file.path))
        try:
            _check_version(connection, folder)
            prepared = _prepared(connection, durable)
            file.opened()
            return held, prepared, file
        except BaseException:
            connection.close()
            raise
    except BaseException as error:
        os.close(held)
        if isinstance(error, sqlite3.DatabaseError):
            raise StoreError(
                f"the data in {folder / FILE} cannot be read ({error}): "
                "give --data another folder, or move that file away"
            ) from error
        raise


def _connected(target: str) -> sqlite3.Connection:
    return sqlite3.connect(
        target, timeout=_BUSY_SECONDS, isolation_level=None, cached_statements=256, check_same_thread=False
    )


def _check_version(connection: sqlite3.Connection, folder: Path) -> None:
    found = schema.version(connection)
    if found is None or found == schema.VERSION:
        return
    if found == 0:
        problem = "is no data of Tidemill"
    elif found > schema.VERSION:
        problem = f"was written by a newer version of Tidemill (schema {found}, this one knows {schema.VERSION})"
    else:
        problem = f"was written by an older version of Tidemill (schema {found}, this one needs {schema.VERSION})"
    raise StoreError(f"the file {folder / FILE} {problem}: give --data a new folder")


def _prepared(connection: sqlite3.Connection, durable: bool) -> sqlite3.Connection:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    if schema.version(connection) is None:
        schema.create(connection)
    return connection


def _explained(error: sqlite3.DatabaseError) -> StoreError:
    if error.sqlite_errorname in _NO_ROOM:
        return StoreFullError("the disk is full or takes no more: free some space for the data folder, then send again")
    return StoreError(f"the data folder cannot be used ({error}): see to its disk, then send again")


def _again(error: StoreError) -> StoreError:
    return type(error)(str(error))
