"""The keys and indexes of the one DynamoDB table, as data. CDK and the tests create the table from them.

    item                 pk                     sk
    head of a run        RUN#<run>              #
    record(s)            RUN#<run>              <number, 10 digits>       keyed by the first that it holds
    snapshot             RUN#<run>              S#
    chunks that ended    RUN#<run>              C#<step key>
    pointer to a run     EVENT#<id>             RUN#<created>#<run>       of events that a run collects
    flow control         FLOW#<key>             #                         places, a throttle, a rate, a window, …
    a run in line        LINE#<key>             <rank>#<run>              for a place under this key

Every index is sparse: an item without its keys is not in it. Each holds keys only, except the index of due times, whose
entries also have the function and the creation time: neither ever changes, so they cost nothing extra.

*No time buckets.* A list is read newest first from the ends of a fixed number of partitions, and merged; there are no
empty hours to walk through. A partition of an index takes 1,000 entries a second and slows the table down beyond that,
hence the shards. `SHARDS` may be raised later, because readers read all of them; never lowered.

Times in sort keys are 13 digits of milliseconds, so that they sort as text.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

PK: Final = "pk"
SK: Final = "sk"
TTL: Final = "ttl"  # seconds since the epoch, as DynamoDB wants it

HEAD: Final = "#"  # sorts before every record, so that one query reads a head and its journal
RECORD_FIRST: Final = "0000000000"
RECORD_LAST: Final = "9999999999"
SNAPSHOT: Final = "S#"
CHUNKS: Final = "C#"
WAITS: Final = "W#"  # the keys of a run's waits: they expire by themselves
SHARDS: Final = 16
USER_SHARDS: Final = 8  # 8,000 entries a second of one user: a tenant, or a service, may be one
_KEY_BYTES = 900  # a sort key may have 1,024


class Index(NamedTuple):
    """`pk`, `sk`: the attributes that are its keys, both text. `also`: the attributes of its entries besides keys."""

    name: str
    pk: str
    sk: str
    also: tuple[str, ...] = ()


# RUNS#<function>#<shard> / <created>#<run>; KEYS#<family>#<shard> / <hash>: the keys of a limit that are in use
BY_FUNCTION: Final = Index("by-function", "fpk", "fsk")
BY_USER: Final = Index("by-user", "upk", "usk")  # USER#<user>#<shard> / <created>#<run>, EUSER#… / <received>#<event>
BY_TIME: Final = Index("by-time", "apk", "fsk")  # RUNS#<shard> / <created>#<run>
BY_EVENT: Final = Index("by-event", "epk", "fsk")  # EVENT#<event> / <created>#<run>
BY_DUE: Final = Index("by-due", "dpk", "dsk", ("f", "fsk"))  # DUE#<class>#<shard> / <due>; ENDED#<status>#<shard> / …
INDEXES: Final = (BY_FUNCTION, BY_USER, BY_TIME, BY_EVENT, BY_DUE)


def stamp(ms: int) -> str:
    """A time as part of a sort key."""
    return f"{ms:013d}"


def shard(id: str) -> int:
    """The shard of a run or an event: the same in every process."""
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()[0] % SHARDS


def fitting(text: str) -> str:
    """Text as part of a key: the text itself, or its digest if it is too long."""
    data = text.encode("utf-8", "surrogatepass")
    return text if len(data) <= _KEY_BYTES else f"sha256:{hashlib.sha256(data).hexdigest()}"


def run_key(run_id: str) -> str:
    return f"RUN#{run_id}"


def run_of(key: str) -> str:
    """The id of the run whose partition this is."""
    return key[4:]


def record_key(number: int) -> str:
    return f"{number:010d}"


def snapshot_name(run_id: str) -> str:
    """The name of the blob with a run's large snapshot."""
    return f"snapshot-{run_id}"


def chunks_key(step_key: str) -> str:
    return CHUNKS + fitting(step_key)


def event_key(event_id: str) -> str:
    return f"EVENT#{event_id}"


def time_key(at: int, id: str) -> str:
    """The key by which lists are ordered."""
    return f"{stamp(at)}#{id}"


def pointer_key(created_at: int, run_id: str) -> str:
    return f"RUN#{time_key(created_at, run_id)}"


def function_key(function_id: str, number: int) -> str:
    return f"RUNS#{function_id}#{number:02d}"


def all_key(number: int) -> str:
    return f"RUNS#{number:02d}"


def user_key(user: str, number: int) -> str:
    return f"USER#{fitting(user)}#{number:02d}"


def user_shard(id: str) -> int:
    """The shard of a run or an event among those of its user."""
    return shard(id) % USER_SHARDS


def due_key(kind: str, number: int) -> str:
    """`kind`: which open runs: `scheduled`, `running`, `idle` or `ending`."""
    return f"DUE#{kind}#{number:02d}"


def ended_key(status: str, number: int) -> str:
    """The key of runs that did not complete: few among many, and often searched."""
    return f"ENDED#{status}#{number:02d}"


def flow_key(key: str) -> str:
    """`key`: as `core.flow.keys` makes them."""
    return f"FLOW#{key}"


def line_key(key: str) -> str:
    return f"LINE#{key}"


def rank_key(rank: int, run_id: str) -> str:
    """A run's position in line: the lowest rank is the first."""
    return f"{max(rank, 0):015d}#{run_id}"


def keys_key(family: str, number: int) -> str:
    return f"KEYS#{family}#{number}"
