"""A language model's API, as two apps use it: whoever calls it more than twice at a time is turned away.

The limit is the account's, and its key is a constant: all functions that declare it share its two places, whatever app
they are in. It counts steps, so a run holds a place while it calls, and not while it sleeps.
"""

from __future__ import annotations

import time

from examples.desk import database
from examples.video.words import summary
from tidemill import Concurrency, RetryAfterError

AT_A_TIME = 2
LIMIT = Concurrency(AT_A_TIME, key="'model api'", scope="account")
TABLES = "CREATE TABLE IF NOT EXISTS calls (began REAL PRIMARY KEY, ended REAL);"


def ask(text: str, sentences: int) -> str:
    """The model's answer: the sentences that say the most."""
    began = time.time()
    with database("model", TABLES) as db:
        db.execute("DELETE FROM calls WHERE ended IS NULL AND began < ?", (began - 30,))  # of callers that died
        (busy,) = db.execute("SELECT count(*) FROM calls WHERE ended IS NULL").fetchone()
        if busy >= AT_A_TIME:
            raise RetryAfterError("2s")
        db.execute("INSERT INTO calls VALUES (?, NULL)", (began,))
    time.sleep(0.1)  # it thinks
    answer = " ".join(summary(text, sentences))
    with database("model", TABLES) as db:
        db.execute("UPDATE calls SET ended = ? WHERE began = ?", (time.time(), began))
    return answer
