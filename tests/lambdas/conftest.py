"""A real world over SQLite in memory, and a caller that speaks API Gateway's payloads to the real handlers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tidemill.core.journal import Claimed, Ended, Record
from tidemill.core.state import fold
from tidemill.execute import finish
from tidemill.execute.receive import DirectBus
from tidemill.model import CancelSpec, CronTrigger, EventTrigger, Failure, FunctionSpec, HeadChange
from tidemill.ports import World
from tidemill_lambdas import api, ingest
from tidemill_lambdas.keys import AnyKey, Keys
from tidemill_local.registry import LocalRegistry
from tidemill_local.store.database import Database

NOW = 1_790_000_000_000

FUNCTIONS = (
    FunctionSpec("shop.welcome", "shop", "welcome", (EventTrigger("user/signed.up"),)),
    FunctionSpec(
        "shop.pro",
        "shop",
        "pro",
        (EventTrigger("user/*", when="event.data.plan == 'pro'"), CronTrigger("0 9 * * *", "Europe/Paris")),
        retries=2,
        cancel_on=(CancelSpec("user/left", match="data.user_id"),),
    ),
    FunctionSpec("shop.charge", "shop", "charge"),
)


@dataclass
class Clock:
    ms: int = NOW

    def now(self) -> int:
        return self.ms


@dataclass
class Entropy:
    count: int = 0

    def random(self) -> float:
        return 0.5

    def bytes(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")


@dataclass
class Queue:
    looks: list[tuple[str, str, int | None]] = field(default_factory=list[tuple[str, str, int | None]])

    def look(self, run_id: str, function_id: str, at: int | None = None) -> None:
        self.looks.append((run_id, function_id, at))

    def forget(self, run_id: str) -> None:
        pass


class Alive:
    def alive(self, claim: Claimed, now: int) -> bool:
        return True


def make_world(database: Database) -> World:
    registry = LocalRegistry()
    registry.replace(FUNCTIONS, "v1")
    bus = DirectBus()
    world = World(
        database.runs, database.events, database.waits, database.blobs, Queue(), bus, registry, Clock(), Entropy(), Alive()
    )
    bus.world = world
    return world


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)

    @property
    def data(self) -> Any:
        return self.json["data"]


@dataclass
class Caller:
    """Calls the handlers as the dev server does, and keeps every answer for the OpenAPI test."""

    world: World
    keys: Keys = field(default_factory=AnyKey)

    def __call__(
        self, method: str, target: str, body: Any = None, *, headers: dict[str, str] | None = None, **payload: Any
    ) -> Answer:
        text = body if isinstance(body, str) or body is None else msgspec.json.encode(body).decode()
        url = urlsplit(target)
        request = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": url.path,
            "rawQueryString": url.query,
            "headers": {"host": "127.0.0.1:8288", **(headers or {})},
            "requestContext": {"http": {"method": method, "path": url.path}},
            "body": text,
            "isBase64Encoded": False,
            **payload,
        }
        handler = ingest if url.path.startswith(("/e/", "/w/")) else api
        response = handler.handle(request, self.world, self.keys)
        return Answer(response["statusCode"], response["headers"], response["body"])

    def get(self, target: str) -> Answer:
        return self("GET", target)

    def post(self, target: str, body: Any = None) -> Answer:
        return self("POST", target, body)

    def send(self, *events: dict[str, Any]) -> list[str]:
        answer = self.post("/e/key", list(events))
        assert answer.status == 200, answer.text
        ids: list[str] = answer.json["ids"]
        return ids

    def runs_of(self, event_id: str) -> list[str]:
        return [head.run_id for head in self.world.runs.of_event(event_id)]

    def append(self, run_id: str, *records: Record) -> None:
        """What an executor would append."""
        seq = len(self.world.runs.read(run_id))
        assert self.world.runs.append(run_id, seq, records) is None

    def end(self, run_id: str, value: bytes | None = b"null", failure: Failure | None = None) -> None:
        ended = Ended(self.world.clock.now(), "failed" if failure else "completed", None if failure else value, failure)
        self.append(run_id, ended)
        finish.finish(self.world, run_id)

    def change(self, run_id: str, change: HeadChange) -> None:
        state = fold(self.world.runs.read(run_id))
        records = [Claimed(self.world.clock.now(), "worker/0", 2**53, "v1")]
        assert self.world.runs.append(run_id, state.seq + 1, records, change) is None


@pytest.fixture
def world() -> Iterator[World]:
    with Database(":memory:") as database:
        yield make_world(database)


@pytest.fixture
def call(world: World) -> Caller:
    return Caller(world)
