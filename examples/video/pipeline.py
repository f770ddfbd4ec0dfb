"""The pipeline: three steps, one of them in two branches. Whatever fails is tried again from where it was."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from examples.desk import database
from examples.video.subtitles import Transcript, parse
from examples.video.words import frequent, summary
from tidemill import App, AsyncContext, Event, NonRetriableError

app = App("video")

MEDIA = Path(__file__).with_name("media")
TABLES = """
    CREATE TABLE IF NOT EXISTS videos
        (video_id TEXT PRIMARY KEY, user_id TEXT, seconds REAL, words INTEGER, summary TEXT, statistics TEXT);
    CREATE TABLE IF NOT EXISTS words (video_id TEXT, word TEXT, count INTEGER, PRIMARY KEY (video_id, word));
"""


@dataclass(frozen=True)
class Statistics:
    words: int
    words_a_minute: float
    longest_silence: timedelta
    frequent: list[list[Any]]  # [word, count], the most frequent first


@app.function(on=Event("video/uploaded", when="event.data.size > 0"))
async def process_video(ctx: AsyncContext) -> dict[str, Any]:
    video = ctx.event.data
    transcript = await ctx.step.run("transcribe", transcribe, video["file"])  # a dataclass, and comes back as one
    statistics, short = await asyncio.gather(
        ctx.step.run("count words", count, transcript),
        ctx.step.run("summarize", summary, transcript.text, 3),
    )
    await ctx.step.run("write to db", save, video["video_id"], video["user_id"], transcript, statistics, short)
    await ctx.step.send_event("tell", {"name": "video/processed", "data": {"video_id": video["video_id"]}})
    return {"summary": short, "words": statistics.words}


def transcribe(file: str) -> Transcript:
    """The subtitles beside the video. A file that is no SubRip will be none the next time either."""
    try:
        return parse((MEDIA / Path(file).name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise NonRetriableError(f"{file}: {error}") from error


def count(transcript: Transcript) -> Statistics:
    words = len(transcript.text.split())
    minutes = transcript.length / timedelta(minutes=1)
    return Statistics(
        words=words,
        words_a_minute=round(words / minutes, 1) if minutes else 0.0,
        longest_silence=transcript.longest_silence,
        frequent=[[word, number] for word, number in frequent(transcript.text, 12)],
    )


def save(video_id: str, user_id: str, transcript: Transcript, statistics: Statistics, short: list[str]) -> None:
    shown = json.dumps(asdict(statistics), default=timedelta.total_seconds)
    row = (video_id, user_id, transcript.length.total_seconds(), statistics.words, "\n".join(short), shown)
    with database("video", TABLES) as db:
        db.execute("INSERT OR REPLACE INTO videos VALUES (?, ?, ?, ?, ?, ?)", row)
        db.executemany(
            "INSERT OR REPLACE INTO words VALUES (?, ?, ?)", [(video_id, *each) for each in statistics.frequent]
        )
