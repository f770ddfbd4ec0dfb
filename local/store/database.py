"""The file of the local world: opened, locked, and written in transactions that many calls share.

*Group commit.* The first write opens a transaction; whoever owns the database ends it with `commit()`, once for all
that came together, and only then tells anyone that it happened. Reads see what is not yet committed.

*A write that fails takes the others along.* When the disk is full SQLite rolls the whole transaction back, also what
earlier calls wrote. So after a StoreError every further write, and the `commit()` itself, raises it again: nobody is
told that something was kept which was not. Then the database is as good as before.

One connection; calls must not overlap. Nobody else writes to the file, so the stores remember what they have read or
written where that saves a read; all of it is forgotten with a transaction that is rolled back.
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
from tidemill_local.store.logs import SqliteLogs
from tidemill_local.store.runs import SqliteRuns
from tidemill_local.store.waits import SqliteWaits

__all__ = ["FILE", "MEMORY", "PATIENCE", "Database", "Row", "Value"]

MEMORY = ":memory:"
PATIENCE = 2.0  # seconds to wait for the lock of a server that was just killed

_CACHE_KIB = 8 * 1024  # the operating system caches the file as well; memory is not to grow with the data
_CHECKPOINT_PAGES = 4_000  # 16 MB of log: the larger, the fewer writes in all, and the longer each checkpoint
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")  # the second: over a quota, or over `ulimit -f`
_BUSY_SECONDS = 5.0  # for someone who looks into the file with another tool

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
        self.dirty = False  # commit() has something to answer for
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

    def write(self, sql: str, values: Sequence[Value] = ()) -> sqlite3.Cursor:
        """One statement that writes, in the open transaction. An IntegrityError undoes this statement alone."""
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
        """The rows one by one, for who may not want them all; close it before anything else is written."""
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
        """Keep what was written since the last commit. Raises StoreError where it could not be, or was lost before."""
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
        """What is committed to a file that nobody can find any more is not kept."""
        problem = self._file.problem() if self._file is not None else None
        if problem is not None:
            self.rollback()
            raise StoreError(problem)

    def rollback(self) -> None:
        """Forget what was written since the last commit."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")
        self.runs.forget()
        self.events.forget()
        self.waits.forget()
        self.flow.forget_all()
        self._lost, self.dirty = None, False

    def close(self) -> None:
        """Close the file and let go of the folder. What is not committed is gone. Harmless to do twice."""
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
        folder.chmod(0o700)  # events may hold what is nobody's business; also where an older version made it
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
