"""The tables of the data file, and the version of the tables.

A run has a number (`n`, counting up), and all of its rows have that number as key: run ids are as good as random, and
rows with random keys are spread over many pages, where those of one moment should share a few. The same holds for
events. A number also gives the order within one millisecond.

Each index costs a write on the hot path, so indexes that few rows need are partial.
"""

from __future__ import annotations

import sqlite3

from tidemill.model import SIGNAL

VERSION = 8  # the version of the tables below, stored in the file as `user_version`

_TABLES = f"""
CREATE TABLE run (
    n INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    function_id TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due INTEGER,
    version TEXT NOT NULL,
    reason TEXT,
    event_ids BLOB NOT NULL,
    user TEXT,
    attempt INTEGER NOT NULL,
    parent BLOB,
    started_at INTEGER,
    ended_at INTEGER,
    "end" INTEGER,
    snapshot INTEGER,
    finish_by INTEGER,
    start_by INTEGER,
    not_before INTEGER,
    needs_cleanup INTEGER NOT NULL,
    admission BLOB,
    gathers INTEGER NOT NULL,
    rerun_of TEXT,
    chunk INTEGER NOT NULL
);
CREATE INDEX run_created ON run (created_at) WHERE NOT chunk;
CREATE INDEX run_function ON run (function_id, created_at) WHERE NOT chunk;
CREATE INDEX run_status ON run (status, created_at, function_id) WHERE status <> 'completed';
CREATE INDEX run_user ON run (user, created_at) WHERE user IS NOT NULL;
CREATE INDEX run_due ON run (due) WHERE due IS NOT NULL;
CREATE INDEX run_held ON run (function_id) WHERE reason IS NOT NULL AND due IS NOT NULL;

CREATE TABLE journal (n INTEGER, seq INTEGER, data BLOB NOT NULL, PRIMARY KEY (n, seq)) WITHOUT ROWID;
CREATE TABLE job (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, created_at INTEGER NOT NULL, running INTEGER NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX job_created ON job (kind, created_at, id);
CREATE INDEX job_running ON job (created_at, id) WHERE running;

CREATE TABLE pause (function_id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE paused_run (
    function_id TEXT, created_at INTEGER, run_id TEXT, PRIMARY KEY (function_id, created_at, run_id)
) WITHOUT ROWID;
CREATE TABLE paused_tick (
    function_id TEXT, tick TEXT, at INTEGER NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY (function_id, tick)
) WITHOUT ROWID;

CREATE TABLE log (
    n INTEGER, number INTEGER, mark TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (n, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX log_mark ON log (n, mark);
CREATE TABLE snapshot (n INTEGER, seq INTEGER, data BLOB NOT NULL, PRIMARY KEY (n, seq)) WITHOUT ROWID;
CREATE TABLE chunk (run_id TEXT, key TEXT, chunk INTEGER, PRIMARY KEY (run_id, key, chunk)) WITHOUT ROWID;
CREATE TABLE event_run (event_id TEXT, n INTEGER, PRIMARY KEY (event_id, n)) WITHOUT ROWID;

CREATE TABLE event (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    user TEXT,
    data BLOB NOT NULL,
    effective_at INTEGER,
    due INTEGER
);
CREATE INDEX event_name ON event (name, received_at);
CREATE INDEX event_received ON event (received_at) WHERE name <> '{SIGNAL}';
CREATE INDEX event_delayed ON event (name, effective_at) WHERE effective_at IS NOT NULL;
CREATE INDEX event_due ON event (due) WHERE due IS NOT NULL;
CREATE INDEX event_user ON event (user, received_at) WHERE user IS NOT NULL;

CREATE TABLE rejected (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    user TEXT,
    data BLOB NOT NULL,
    listed INTEGER NOT NULL
);
CREATE INDEX rejected_listed ON rejected (received_at, id) WHERE listed;

CREATE TABLE awaited (name TEXT, path TEXT, since INTEGER NOT NULL, PRIMARY KEY (name, path)) WITHOUT ROWID;
CREATE TABLE event_key (
    name TEXT, path TEXT, hash TEXT, effective_at INTEGER, n INTEGER,
    PRIMARY KEY (name, path, hash, effective_at, n)
) WITHOUT ROWID;

CREATE TABLE wait (
    name TEXT, path TEXT, hash TEXT, run_id TEXT, key TEXT, label TEXT, data BLOB NOT NULL,
    PRIMARY KEY (name, path, hash, run_id, key, label)
) WITHOUT ROWID;
CREATE INDEX wait_run ON wait (run_id, key);

CREATE TABLE place (
    key TEXT, run_id TEXT, token INTEGER NOT NULL, until INTEGER NOT NULL, label TEXT NOT NULL,
    PRIMARY KEY (key, run_id)
) WITHOUT ROWID;
CREATE TABLE line (
    key TEXT NOT NULL,
    rank INTEGER NOT NULL,
    n INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    token INTEGER NOT NULL,
    label TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (key, rank, n)
) WITHOUT ROWID;
CREATE TABLE throttle (key TEXT PRIMARY KEY, spent INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE started (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rate (key TEXT, at INTEGER, run_id TEXT, PRIMARY KEY (key, at, run_id)) WITHOUT ROWID;
CREATE INDEX rate_run ON rate (key, run_id);
CREATE TABLE idempotency (
    n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE ON CONFLICT REPLACE, run_id TEXT NOT NULL, until INTEGER NOT NULL
);
CREATE INDEX idempotency_until ON idempotency (until);
CREATE TABLE gathering (
    key TEXT PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL, since INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE blob (name TEXT PRIMARY KEY, data BLOB NOT NULL);
"""


def version(connection: sqlite3.Connection) -> int | None:
    """The version of the tables in this file, None if there is no table yet. 0: another program's tables."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    return None if found == 0 and empty else found


def create(connection: sqlite3.Connection) -> None:
    """Create all tables or none: a kill in between leaves an empty file."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
