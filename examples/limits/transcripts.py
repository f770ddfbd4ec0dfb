"""The studio's app: one recording of a user is transcribed at a time, two in all, and paying users go first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from examples.desk import database
from examples.limits import model
from examples.video.subtitles import parse
from tidemill import App, Concurrency, Context

app = App("studio")

MEDIA = Path(__file__).parents[1] / "video" / "media"
TABLES = "CREATE TABLE IF NOT EXISTS transcripts (recording_id TEXT PRIMARY KEY, user_id TEXT, words INTEGER);"


class Recording(BaseModel):
    recording_id: str
    user_id: str
    plan: str = "free"
    file: str
    minutes: float
    minute: float = 60  # seconds


uploaded = app.event("recording/uploaded", Recording, v="1")


# Two lines, one after the other: the user's own, then everybody's. So a user with a hundred recordings has one of them
# in everybody's line, and the priority sorts that one. The places count runs: listening is a sleep, and whoever listens
# is busy.
@app.function(
    on=uploaded,
    concurrency=[
        Concurrency(1, key="event.data.user_id", counts="runs"),
        Concurrency(2, counts="runs"),
    ],
    priority="event.data.plan == 'pro' ? 120 : 0",
)
def transcribe(ctx: Context[Recording]) -> dict[str, Any]:
    recording = ctx.event.data
    ctx.step.sleep("listen", recording.minutes * recording.minute)
    text = ctx.step.run("write down", write_down, recording.file)
    words = ctx.step.run("save", save, recording.recording_id, recording.user_id, text)
    told = {"recording_id": recording.recording_id, "text": text}
    ctx.step.send_event("tell", {"name": "recording/transcribed", "data": told})
    return {"words": words}


@app.function(on="recording/transcribed", concurrency=model.LIMIT)
def summarize(ctx: Context) -> str:
    return ctx.step.run("ask", model.ask, ctx.event.data["text"], 2)


def write_down(file: str) -> str:
    return parse((MEDIA / Path(file).name).read_text(encoding="utf-8")).text


def save(recording_id: str, user_id: str, text: str) -> int:
    words = len(text.split())
    with database("studio", TABLES) as db:
        db.execute("INSERT OR REPLACE INTO transcripts VALUES (?, ?, ?)", (recording_id, user_id, words))
    return words
