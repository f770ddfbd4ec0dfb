"""What the stories share: a folder for what they make, a database in it, and an outbox.

A step can run twice: the machine may stop after the work and before its result is remembered. So all of these take
doing the same thing twice: a row has a key, a mail has a name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from pathlib import Path


def folder(name: str = "") -> Path:
    """A folder under `TIDEMILL_EXAMPLES`, where all that the stories make is kept (default: .tidemill/examples)."""
    path = Path(os.environ.get("TIDEMILL_EXAMPLES") or ".tidemill/examples") / name
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def database(name: str, schema: str) -> Generator[sqlite3.Connection]:
    """A SQLite database with these tables; commits at the end, rolls back on an error."""
    with closing(sqlite3.connect(folder() / f"{name}.sqlite3", timeout=10, isolation_level="IMMEDIATE")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(schema)
        with connection:
            yield connection


def write(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return path


def letter(to: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Tide & Co. <hello@tide.example>"
    message["To"] = to
    message["Subject"] = subject
    message.set_content(text)
    return message


def post(message: EmailMessage, name: str) -> str:
    """Put a letter into the outbox. The same name again replaces it: nobody gets it twice."""
    return str(write(folder("outbox") / f"{name}.eml", message.as_string()))
