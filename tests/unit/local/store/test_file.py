"""The data folder: what survives, who may open it, and what happens when the disk is full."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.core.journal import HandedOver, Started
from tidemill.model import Condition, Event, Head, HeadChange, Wait
from tidemill.ports import APPENDED, Lost
from tidemill_local.store import schema
from tidemill_local.store.database import FILE, MEMORY, Database
from tidemill_local.store.errors import StoreError, StoreFullError

BORN = Started(1, "f", (Event("e1", "n", {}, 1, 1),))
PRELUDE = """
import os, resource, sys
from tidemill.core.journal import Started
from tidemill.model import Event, Head
from tidemill_local.store.database import Database
from tidemill_local.store.errors import StoreError
def create(db, number, size=1_000):
    event = Event(f"e{number}", "n", {"text": "x" * size}, 1, 1)
    db.runs.create(Head(f"r{number}", "f", "running", number, number), [Started(1, "f", (event,))])
def say(word):
    print(word, flush=True)
"""


def create(db: Database, run_id: str) -> None:
    assert db.runs.create(Head(run_id, "f", "running", 1, 1), [BORN])


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(folder)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


# Commits.


@pytest.mark.parametrize("durable", [False, True])
def test_what_was_committed_is_there_after_reopening(tmp_path: Path, durable: bool) -> None:
    with Database(tmp_path / "a" / "data", durable=durable) as db:
        create(db, "kept")
        db.runs.append("kept", 1, [HandedOver(2)], HeadChange("sleeping", 7))
        db.commit()
        create(db, "not committed")
    with Database(tmp_path / "a" / "data") as db:
        assert db.runs.read("kept") == [BORN, HandedOver(2)]
        assert db.runs.next_due() == 7
        assert db.runs.head("not committed") is None


def test_durable_waits_for_the_disk(tmp_path: Path) -> None:
    with Database(tmp_path / "a") as quick, Database(tmp_path / "b", durable=True) as sure:
        assert quick.row("PRAGMA synchronous") == (1,)
        assert sure.row("PRAGMA synchronous") == (2,)
        assert quick.row("PRAGMA journal_mode") == ("wal",)


def test_dirty_says_whether_a_commit_is_due() -> None:
    with Database(MEMORY) as db:
        said = [db.dirty]
        db.runs.head("r1")
        said.append(db.dirty)
        create(db, "r1")
        said.append(db.dirty)
        db.commit()
        said.append(db.dirty)
        db.commit()
    assert said == [False, False, True, False]


def test_a_rollback_forgets_all_since_the_commit() -> None:
    with Database(MEMORY) as db:
        create(db, "r1")
        db.commit()
        create(db, "r2")
        db.runs.append("r1", 1, [HandedOver(2)])
        db.rollback()
        assert not db.dirty
        assert db.runs.head("r2") is None
        create(db, "r3")  # takes the number that r2 had
        assert db.runs.read("r2") == []
        assert db.runs.append("r1", 1, [HandedOver(3)]) == APPENDED
        assert db.runs.read("r1") == [BORN, HandedOver(3)]


def remembered(db: Database) -> tuple[object, ...]:
    """What the stores answer from memory where they can."""
    return (
        db.runs.head("new"),
        db.runs.read("new"),
        db.events.paths("n"),
        db.waits.awaited("kept"),
        db.waits.awaited("n"),
    )


def change_all(db: Database) -> None:
    """Committed: a path and a wait. Then in a transaction: a run, another path, another wait; and the first dropped."""
    db.events.add_path("n", "a", 1)
    db.waits.put(Wait("r1", "f", "w", "kept", Condition(), after=0))
    db.commit()
    create(db, "new")
    db.events.add_path("n", "b", 2)
    db.waits.drop("r1")
    db.waits.put(Wait("r1", "f", "w", "n", Condition(), after=0))
    assert remembered(db) == (Head("new", "f", "running", 1, 1), [BORN], {"a": 1, "b": 2}, False, True)


def test_what_is_remembered_goes_with_a_rollback() -> None:
    with Database(MEMORY) as db:
        change_all(db)
        db.rollback()
        assert remembered(db) == (None, [], {"a": 1}, True, False)
        assert db.events.add_path("n", "b", 3) == 3
        create(db, "new")


def test_what_is_remembered_goes_with_a_transaction_that_was_lost() -> None:
    with Database(MEMORY) as db:
        change_all(db)
        (pages,) = db.rows("PRAGMA page_count")
        db.rows(f"PRAGMA max_page_count = {pages[0]}")  # the disk is full
        event = Event("e2", "n", {"text": "x" * 1_000_000}, 1, 1)
        with pytest.raises(StoreFullError):
            db.runs.create(Head("big", "f", "running", 1, 1), [Started(1, "f", (event,))])
        assert db.runs.head("big") is None
        assert remembered(db) == (None, [], {"a": 1}, True, False)
        with pytest.raises(StoreFullError):
            db.commit()
        create(db, "new")
        db.commit()
        assert db.runs.read("new") == [BORN]


def test_a_lost_append_leaves_the_rest_of_the_transaction() -> None:
    with Database(MEMORY) as db:
        create(db, "r1")
        assert db.runs.append("r1", 0, [HandedOver(1), HandedOver(2)]) == Lost([BORN])
        db.commit()
        assert db.runs.read("r1") == [BORN]


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    code = """
db = Database(sys.argv[1])
for number in range(10**9):
    create(db, number)
    if number % 5 == 4:
        db.commit()
        say(number)
"""
    with child(code, tmp_path) as process:
        assert process.stdout is not None
        last = [int(process.stdout.readline()) for _ in range(100)][-1]
        process.kill()
    with Database(tmp_path) as db:
        assert all(db.runs.birth(f"r{number}") for number in range(last + 1))
        assert db.row("PRAGMA integrity_check") == ("ok",)


# Who may open it.


def test_a_folder_in_use_names_its_owner(tmp_path: Path) -> None:
    with Database(tmp_path):
        with pytest.raises(StoreError) as caught:
            Database(tmp_path, patience=0)
        assert str(caught.value) == (
            f"the data folder {tmp_path} is in use by another server (pid {os.getpid()}): "
            "stop it, or give --data another folder"
        )
    Database(tmp_path, patience=0).close()


def test_the_lock_of_one_just_killed_is_waited_for(tmp_path: Path) -> None:
    with child("db = Database(sys.argv[1])\nsay('open')\nsys.stdin.read()", tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.kill()
        Database(tmp_path).close()


def test_a_refused_database_lets_go_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1_000)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be read"):
            Database(tmp_path, patience=0)


# What is in it.


def at_version(folder: Path, version: int) -> None:
    connection = sqlite3.connect(folder / FILE)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("CREATE TABLE something (x)")
    connection.close()


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (schema.VERSION + 1, "was written by a newer version of Tidemill"),
        (schema.VERSION - 1 or -1, "was written by an older version of Tidemill"),
        (0, "is no data of Tidemill"),
    ],
)
def test_data_of_another_version_is_refused(tmp_path: Path, version: int, sentence: str) -> None:
    at_version(tmp_path, version)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match=sentence) as caught:
        Database(tmp_path)
    assert str(tmp_path / FILE) in str(caught.value)
    assert "--data" in str(caught.value)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_path_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(StoreError, match=r"cannot be used .*--data"):
            Database(path)


def test_a_file_of_no_bytes_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"")
    with Database(tmp_path) as db:
        create(db, "r1")
        db.commit()


def test_heads_have_a_column_for_every_field() -> None:
    with Database(MEMORY) as db:
        columns = [row[1] for row in db.rows("PRAGMA table_info(run)")]
    fields = [field for field in Head.__struct_fields__ if field != "kept"]  # nothing expires here
    assert columns == ["n", *fields, "chunk"]


# A full disk.

FULL = """
db = Database(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
number = 0
try:
    while number < 100_000:
        for _ in range(20):
            create(db, number)
            number += 1
        db.commit()
        say(number)
except StoreError as error:
    say(type(error).__name__)
    say(error)
"""


def test_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    went_on = """
say(db.dirty)
create(db, "small", 10)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
db.commit()
create(db, "after")
db.commit()
say("went on")
"""
    with child(FULL + went_on, tmp_path) as process:
        *counts, kind, sentence, dirty, end = process.communicate()[0].splitlines()
    assert (kind, dirty, end) == ("StoreFullError", "False", "went on")
    assert sentence == "the disk is full or takes no more: free some space for the data folder, then send again"
    last = int(counts[-1])
    with Database(tmp_path) as db:
        assert all(db.runs.birth(f"r{number}") for number in range(last))
        assert db.runs.head(f"r{last}") is None
        assert db.runs.head("rafter") is not None
        assert db.row("PRAGMA integrity_check") == ("ok",)


def test_a_write_that_fails_takes_the_whole_transaction_along(tmp_path: Path) -> None:
    """Nobody may be told that something was kept which went down with another's write."""
    code = """
db = Database(sys.argv[1])
db.rows("PRAGMA cache_size = 10")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
create(db, 1)
for attempt in (lambda: create(db, 2, 5_000_000), lambda: create(db, 3), db.commit):
    try:
        attempt()
    except StoreError as error:
        say(type(error).__name__)
say(db.dirty)
create(db, 4)
db.commit()
"""
    with child(code, tmp_path) as process:
        said = process.communicate()[0].splitlines()
    assert said == ["StoreFullError"] * 3 + ["False"]
    with Database(tmp_path) as db:
        assert [db.runs.head(f"r{number}") is not None for number in (1, 2, 3, 4)] == [False, False, False, True]


def test_a_failed_read_spoils_nothing(tmp_path: Path) -> None:
    with Database(tmp_path) as db:
        with pytest.raises(StoreError):
            db.rows("SELECT 1 FROM no_such_table")
        assert not db.dirty
        create(db, "r1")
        db.commit()
    assert issubclass(StoreFullError, StoreError)


# The files themselves.


def test_nobody_else_may_read_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    with Database(folder) as db:
        create(db, "r")
        db.commit()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
            ("lock", "tidemill.begun", FILE, f"{FILE}-wal", f"{FILE}-shm"), 0o600
        )


@pytest.mark.parametrize("gone", [False, True])
def test_a_file_that_held_data_and_is_empty_is_not_taken_for_a_new_one(tmp_path: Path, gone: bool) -> None:
    with Database(tmp_path) as db:
        create(db, "r")
        db.commit()
    (tmp_path / FILE).unlink() if gone else (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(StoreError, match="is gone, and it held data" if gone else "is empty, and it held data"):
        Database(tmp_path)


@pytest.mark.parametrize("what", ["file", "log", "folder", "emptied", "replaced"])
def test_what_would_be_written_to_a_file_that_is_gone_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "data"
    with Database(folder) as db:
        create(db, "kept")
        db.commit()
        if what == "folder":
            shutil.rmtree(folder)
        elif what == "emptied":
            (folder / FILE).write_bytes(b"")
        else:
            (folder / (f"{FILE}-wal" if what == "log" else FILE)).unlink()
        if what == "replaced":
            (folder / FILE).write_bytes(b"x" * 4096)
        for run_id in ("lost", "lost too"):
            create(db, run_id)
            with pytest.raises(StoreError, match="nothing can be kept"):
                db.commit()
            assert db.runs.head(run_id) is None


def test_a_folder_that_is_put_back_is_good_again(tmp_path: Path) -> None:
    with Database(tmp_path / "data") as db:
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        create(db, "lost")
        with pytest.raises(StoreError, match="is gone"):
            db.commit()
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        create(db, "kept")
        db.commit()
    with Database(tmp_path / "data") as db:
        assert db.runs.head("kept") is not None
