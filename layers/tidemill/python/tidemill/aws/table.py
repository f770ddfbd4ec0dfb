"""The one table: its keys and indexes as data, and how keys are made. CDK and the tests create it from here.

    item                 pk                           sk
    head of a run        RUN#<run>                    #
    record(s)            RUN#<run>                    <number, 10 digits>      keyed by the first it holds
    snapshot             RUN#<run>                    S#<number>
    chunks that ended    RUN#<run>                    C#<step>#<chunk>
    pointer to a run     EVENT#<id>                   RUN#<created>#<run>

Every index is sparse (an item without its keys is not in it) and holds keys only. Times in sort keys are 13 digits of
milliseconds, so that they sort as text. What a key is made of may hold any character but `#` ends its part only where
the part before it cannot hold one; ids that can are last, or their `#` and `%` are quoted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PK: Final = "pk"
SK: Final = "sk"
TTL: Final = "ttl"  # seconds since the epoch, as DynamoDB wants it

HEAD: Final = "#"
RECORD_FIRST: Final = "0000000000"
RECORD_LAST: Final = "9999999999"

SHARDS: Final = 16  # of the due times, of a function's runs, and of all that is listed by time


class Index(NamedTuple):
    name: str
    pk: str
    sk: str


BY_FUNCTION: Final = Index("runs-by-function", "fpk", "fsk")  # RUNS#<function>#<shard> / <created>#<run>
BY_USER: Final = Index("runs-by-user", "upk", "usk")  # USER#<user> / <created>#<run>
BY_DUE: Final = Index("due", "dpk", "due")  # DUE#<shard> / <due>#<run>
BY_EVENT_USER: Final = Index("events-by-user", "epk", "esk")  # EUSER#<user> / <received>#<id>
INDEXES: Final = (BY_FUNCTION, BY_USER, BY_DUE, BY_EVENT_USER)


def stamp(ms: int) -> str:
    """A time as it stands in sort keys."""
    return f"{ms:013d}"


def run_key(run_id: str) -> str:
    return f"RUN#{run_id}"


def record_key(number: int) -> str:
    return f"{number:010d}"


def snapshot_key(number: int) -> str:
    return f"S#{number:010d}"


def event_key(event_id: str) -> str:
    return f"EVENT#{event_id}"


def pointer_key(created_at: int, run_id: str) -> str:
    return f"RUN#{stamp(created_at)}#{run_id}"


def due_key(shard: int) -> str:
    return f"DUE#{shard:02d}"


def user_runs_key(user: str) -> str:
    return f"USER#{user}"


def quoted(part: str) -> str:
    """A part that may hold any character, so that none of them can be the `#` that ends it."""
    return part.replace("%", "%25").replace("#", "%23")
