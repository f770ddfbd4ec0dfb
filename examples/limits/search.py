"""The library's app: the search index is brought up to date once, five seconds after the last edit of a document."""

from __future__ import annotations

from pydantic import BaseModel

from examples.desk import database
from examples.limits import model
from examples.video.words import significant
from tidemill import App, Context, Debounce

app = App("library")

TABLES = """
    CREATE TABLE IF NOT EXISTS documents (doc_id TEXT PRIMARY KEY, updates INTEGER);
    CREATE TABLE IF NOT EXISTS entries (word TEXT, doc_id TEXT, PRIMARY KEY (word, doc_id));
"""


# Whoever never stops typing is in the index a minute after they began.
class Edit(BaseModel):
    doc_id: str
    text: str


edited = app.event("document/edited", Edit, v="1")


@app.function(on=edited, debounce=Debounce("5s", key="event.data.doc_id", timeout="1m"))
def index(ctx: Context[Edit]) -> int:
    edit = ctx.event.data  # the last one
    words = ctx.step.run("update", update, edit.doc_id, edit.text, ctx.run_id)
    ctx.step.send_event("tell", {"name": "document/indexed", "data": edit.model_dump()})
    return words


@app.function(on="document/indexed", concurrency=model.LIMIT)
def describe(ctx: Context) -> str:
    return ctx.step.run("ask", model.ask, ctx.event.data["text"], 1)


def update(doc_id: str, text: str, run_id: str) -> int:
    """Replace the document's entries. Done twice, it is done once: what changes is the same."""
    words = sorted(set(significant(text)))
    with database("library", TABLES + "CREATE TABLE IF NOT EXISTS done (run_id TEXT PRIMARY KEY);") as db:
        first = db.execute("INSERT OR IGNORE INTO done VALUES (?)", (run_id,)).rowcount
        db.execute("INSERT OR IGNORE INTO documents VALUES (?, 0)", (doc_id,))
        db.execute("UPDATE documents SET updates = updates + ? WHERE doc_id = ?", (first, doc_id))
        db.execute("DELETE FROM entries WHERE doc_id = ?", (doc_id,))
        db.executemany("INSERT INTO entries VALUES (?, ?)", [(word, doc_id) for word in words])
    return len(words)
