"""A transport that fails as AWS does, at a seed's will: around moto's, or around any other.

What a call may meet:
    refused     a throttling error; nothing has happened
    broken      a 5xx; nothing has happened
    unheard     no answer at all; nothing has happened
    lost        no answer at all, or a 5xx; but all of it has happened
    partial     of a batch only a part is done, the rest is given back; of a query only a short page is answered;
                a transaction meets another one and is cancelled
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tidemill.aws.calls.transport import Reply, Request, Transport


@dataclass(frozen=True)
class Faults:
    """How probable each fault is; one that is left out never comes."""

    refused: float = 0
    broken: float = 0
    unheard: float = 0
    lost: float = 0
    partial: float = 0


NONE = Faults()


class FaultyTransport:
    """`faults`: of every call, or by operation ("PutItem", of REST services the method); "*" stands for all others."""

    def __init__(self, inner: Transport, draw: random.Random, faults: Faults | Mapping[str, Faults]) -> None:
        self._inner = inner
        self._draw = draw
        self._faults = {"*": faults} if isinstance(faults, Faults) else faults
        self.met: Counter[str] = Counter()  # "PutItem lost": how often

    def calm(self) -> None:
        """From now on nothing fails."""
        self._faults = {}

    def __call__(self, request: Request) -> Reply:
        faults = self._faults.get(request.operation) or self._faults.get("*", NONE)
        if self._meets(request, "refused", faults.refused):
            return _throttled(request)
        if self._meets(request, "broken", faults.broken):
            return _broken(request)
        if self._meets(request, "unheard", faults.unheard):
            raise TimeoutError("no answer, and nothing was done")
        reply = self._answered(request, faults.partial)
        if self._meets(request, "lost", faults.lost):
            if self._draw.random() < 0.5:
                return _broken(request)
            raise TimeoutError("no answer, though it was done")
        return reply

    def _answered(self, request: Request, chance: float) -> Reply:
        partly = _PARTLY.get(request.operation)
        if partly is None or not self._meets(request, "partial", chance):
            return self._inner(request)
        return partly(self._inner, request, self._draw)

    def _meets(self, request: Request, kind: str, chance: float) -> bool:
        met = bool(chance) and self._draw.random() < chance
        if met:
            self.met[f"{request.operation} {kind}"] += 1
        return met


def _throttled(request: Request) -> Reply:
    if request.service == "s3":
        return Reply(503, {}, b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>")
    code = "ProvisionedThroughputExceededException" if request.service == "dynamodb" else "ThrottlingException"
    return _error(400, code)


def _broken(request: Request) -> Reply:
    if request.service == "s3":
        return Reply(500, {}, b"<Error><Code>InternalError</Code><Message>Please try again.</Message></Error>")
    return _error(500, "InternalServerError")


def _error(status: int, code: str, **fields: Any) -> Reply:
    return Reply(status, {}, msgspec.json.encode({"__type": f"com.amazonaws#{code}", "message": code, **fields}))


# --- what is done in part ------------------------------------------------------------------------------


def _written_in_part(inner: Transport, request: Request, draw: random.Random) -> Reply:
    """BatchWriteItem: some of the requests, at times none, come back."""
    body = msgspec.json.decode(request.body)
    done: dict[str, list[Any]] = {}
    left: dict[str, list[Any]] = {}
    for table, requests in body["RequestItems"].items():
        for each in requests:
            (done if draw.random() < 0.5 else left).setdefault(table, []).append(each)
    reply = _sent(inner, request, {**body, "RequestItems": done}) if done else _ok({})
    return _with(reply, {"UnprocessedItems": left})


def _read_in_part(inner: Transport, request: Request, draw: random.Random) -> Reply:
    """BatchGetItem: the same."""
    body = msgspec.json.decode(request.body)
    done: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for table, wanted in body["RequestItems"].items():
        parts: tuple[list[Any], list[Any]] = ([], [])
        for key in wanted["Keys"]:
            parts[draw.random() < 0.5].append(key)
        for keys, into in zip(parts, (done, left), strict=True):
            if keys:
                into[table] = {**wanted, "Keys": keys}
    reply = _sent(inner, request, {**body, "RequestItems": done}) if done else _ok({"Responses": {}})
    return _with(reply, {"UnprocessedKeys": left})


def _a_short_page(inner: Transport, request: Request, draw: random.Random) -> Reply:
    """Query: fewer items than there are, and where to go on, as after 1 MB."""
    body = msgspec.json.decode(request.body)
    short = draw.randint(1, 3)
    return _sent(inner, request, {**body, "Limit": min(short, body.get("Limit", short))})


def _in_conflict(_inner: Transport, request: Request, _draw: random.Random) -> Reply:
    """TransactWriteItems: another transaction is at one of the items."""
    actions = msgspec.json.decode(request.body)["TransactItems"]
    reasons = [{"Code": "None"} for _ in actions[1:]] + [{"Code": "TransactionConflict"}]
    return _error(400, "TransactionCanceledException", CancellationReasons=reasons)


def _published_in_part(inner: Transport, request: Request, draw: random.Random) -> Reply:
    """PutEvents: some of the entries are refused."""
    body = msgspec.json.decode(request.body)
    taken = [draw.random() < 0.5 for _ in body["Entries"]]
    entries = [entry for entry, take in zip(body["Entries"], taken, strict=True) if take]
    reply = _sent(inner, request, {**body, "Entries": entries}) if entries else _ok({"Entries": []})
    if reply.status != 200:
        return reply
    answered = iter(msgspec.json.decode(reply.body)["Entries"])
    told = [next(answered) if take else {"ErrorCode": "ThrottlingException"} for take in taken]
    return _ok({"FailedEntryCount": taken.count(False), "Entries": told})


_PARTLY = {
    "BatchWriteItem": _written_in_part,
    "BatchGetItem": _read_in_part,
    "Query": _a_short_page,
    "TransactWriteItems": _in_conflict,
    "PutEvents": _published_in_part,
}


def _sent(inner: Transport, request: Request, body: Any) -> Reply:
    """The request with another body. Its signature is not that of this body; what answers in process asks for none."""
    return inner(request._replace(body=msgspec.json.encode(body)))


def _ok(body: Any) -> Reply:
    return Reply(200, {}, msgspec.json.encode(body))


def _with(reply: Reply, fields: dict[str, Any]) -> Reply:
    return _ok({**msgspec.json.decode(reply.body), **fields}) if reply.status == 200 else reply
