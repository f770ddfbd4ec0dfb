"""A small bank: a ledger in SQLite, in which nothing is ever changed, only added.

Every entry has a reference, and a reference is booked once. That is what makes a step that runs twice harmless: the
second charge of one invoice finds the first, and answers the same.
"""

from __future__ import annotations

import sqlite3

from examples.desk import database
from tidemill import NonRetriableError

TABLES = "CREATE TABLE IF NOT EXISTS ledger (reference TEXT PRIMARY KEY, account TEXT, cents INTEGER)"


class Declined(NonRetriableError):
    """There is not enough money, and trying again at once would not bring it."""


def credit(account: str, cents: int, reference: str) -> int:
    """Put money on an account; the balance."""
    with database("bank", TABLES) as db:
        db.execute("INSERT OR IGNORE INTO ledger VALUES (?, ?, ?)", (reference, account, cents))
        return _balance(db, account)


def charge(account: str, cents: int, reference: str) -> str:
    """Take money from an account, once for each reference; the payment's id. Raises Declined."""
    with database("bank", TABLES) as db:
        if db.execute("SELECT 1 FROM ledger WHERE reference = ?", (reference,)).fetchone() is None:
            balance = _balance(db, account)
            if balance < cents:
                raise Declined(f"account {account} holds {balance} cents, {cents} are needed")
            db.execute("INSERT INTO ledger VALUES (?, ?, ?)", (reference, account, -cents))
    return f"payment-{reference}"


def balance(account: str) -> int:
    with database("bank", TABLES) as db:
        return _balance(db, account)


def _balance(db: sqlite3.Connection, account: str) -> int:
    found: int = db.execute("SELECT coalesce(sum(cents), 0) FROM ledger WHERE account = ?", (account,)).fetchone()[0]
    return found
