"""Encodes a run's head as a DynamoDB item, and its changes as updates that need no read.

DynamoDB bills a change by the whole item, so names are short and the item stays under a kilobyte. Each
field that a change may set is a separate attribute. The keys of the indexes follow from status and due time, which
change together: an open run is found by its due time, one that ended without completing by its status.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.aws.dynamo.keys import (
    BY_DUE,
    BY_EVENT,
    BY_FUNCTION,
    BY_TIME,
    BY_USER,
    HEAD,
    PK,
    SHARDS,
    SK,
    TTL,
    all_key,
    due_key,
    ended_key,
    event_key,
    function_key,
    run_key,
    run_of,
    shard,
    stamp,
    time_key,
    user_key,
    user_shard,
)
from tidemill.aws.dynamo.table import Copy, Item
from tidemill.limits import KIB, RECORD_LIFE, RUN_RETENTION, SECOND
from tidemill.model import Admission, Head, HeadChange, Parent, RunStatus
from tidemill.ports import Blobs

KINDS = ("scheduled", "running", "idle", "ending")  # of open runs, in the index of due times
UNFINISHED: frozenset[RunStatus] = frozenset({"failed", "cancelled", "skipped"})
_USER_BYTES = KIB  # a longer one is a blob

_PLAIN = {  # attributes of a head that are omitted at their default
    "version": "v",
    "reason": "why",
    "attempt": "n",
    "started_at": "t0",
    "ended_at": "t1",
    "end": "e",
    "snapshot": "sn",
    "finish_by": "fb",
    "start_by": "sb",
    "not_before": "nb",
    "needs_cleanup": "ti",
    "gathers": "ga",
    "rerun_of": "ro",
    "kept": "kp",
}
_PACKED: dict[str, tuple[str, Any]] = {
    "event_ids": ("ev", tuple[str, ...]),
    "parent": ("pa", Parent),
    "admission": ("sg", Admission),
}
_DEFAULTS = Head("", "", "scheduled", 0, None)
_CREATED = 13  # digits

_pack = msgspec.msgpack.Encoder().encode
_unpack = {name: msgspec.msgpack.Decoder(kind).decode for name, (_, kind) in _PACKED.items()}


def item(head: Head, blobs: Blobs) -> Item:
    at = time_key(head.created_at, head.run_id)
    made: Item = {PK: run_key(head.run_id), SK: HEAD, "f": head.function_id, "st": head.status, BY_FUNCTION.sk: at}
    for name, short in _PLAIN.items():
        value = getattr(head, name)
        if value != getattr(_DEFAULTS, name):
            made[short] = value
    for name, (short, _) in _PACKED.items():
        value = getattr(head, name)
        if value != getattr(_DEFAULTS, name):
            made[short] = _pack(value)
    if head.user is not None:
        data = head.user.encode("utf-8", "surrogatepass")
        made["u"] = head.user if len(data) <= _USER_BYTES else blobs.put(data).encode()
    if listed(head):
        number = shard(head.run_id)
        made[BY_FUNCTION.pk] = function_key(head.function_id, number)
        if head.user is not None:
            made[BY_USER.pk], made[BY_USER.sk] = user_key(head.user, user_shard(head.run_id)), at
        made[BY_TIME.pk] = all_key(number)
        if head.event_ids and not head.gathers:
            made[BY_EVENT.pk] = event_key(head.event_ids[0])
    if head.due is not None:
        made["due"] = head.due
    made |= _due(head.run_id, head.status, head.due, at)
    return made


def listed(head: Head) -> bool:
    """Whether lists show the run; they omit the chunks of a map."""
    return head.parent is None or head.parent.chunk is None


def head(item: Item, blobs: Blobs) -> Head:
    values = {name: item[short] for name, short in _PLAIN.items() if short in item}
    values |= {name: _unpack[name](item[short]) for name, (short, _) in _PACKED.items() if short in item}
    user = item.get("u")
    if isinstance(user, bytes):
        user = blobs.get(user.decode()).decode("utf-8", "surrogatepass")
    created_at = int(item[BY_FUNCTION.sk][:_CREATED])
    values.setdefault("kept", created_at + RECORD_LIFE)
    return Head(run_of(item[PK]), item["f"], item["st"], created_at, item.get("due"), user=user, **values)


def changes(run_id: str, change: HeadChange) -> tuple[dict[str, Any], list[str]]:
    """The attributes of the head that an update sets, and those that it removes."""
    sets: dict[str, Any] = {"st": change.status}
    removed: list[str] = []
    for name, short in _PLAIN.items():
        value = getattr(change, name, None)
        if value is not None and value is not False:
            sets[short] = value
        elif name == "reason" or value is False:
            removed.append(short)
    for name, (short, _) in _PACKED.items():
        value = getattr(change, name, None)
        if value is not None:
            sets[short] = _pack(value)
    if change.due is not None:
        sets["due"] = change.due
    else:
        removed.append("due")
        if change.ended_at is not None:
            sets[TTL] = expiry(change.ended_at)
    keys = _due(run_id, change.status, change.due, Copy(BY_FUNCTION.sk))
    return sets | keys, removed + [name for name in (BY_DUE.pk, BY_DUE.sk) if name not in keys]


def redue(due: int, reason: str | None) -> tuple[dict[str, Any], list[str]]:
    """The attributes that an update sets and removes when only the due time moves: status and shard stay."""
    sets: dict[str, Any] = {"due": due, BY_DUE.sk: stamp(due)}
    return (sets | {"why": reason}, []) if reason is not None else (sets, ["why"])


def expiry(at: int) -> int:
    """The expiry of a run that ended at this time, in DynamoDB's unit."""
    return (at + RUN_RETENTION) // SECOND + 1


def shards() -> range:
    return range(SHARDS)


def _due(run_id: str, status: RunStatus, due: int | None, at: str) -> dict[str, str]:
    number = shard(run_id)
    if due is not None:
        return {BY_DUE.pk: due_key(kind(status), number), BY_DUE.sk: stamp(due)}
    return {BY_DUE.pk: ended_key(status, number), BY_DUE.sk: at} if status in UNFINISHED else {}


def kind(status: RunStatus) -> str:
    if status in ("scheduled", "running"):
        return status
    return "idle" if status in ("sleeping", "waiting") else "ending"
