"""A real world over SQLite in memory, and a caller that speaks API Gateway's payloads to the real handlers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from support import http_api
from support.doubles import Clock, Entropy, Queue

from tidemill.core.journal import Claimed, Ended, Record
from tidemill.engine.drive.claim import open_run
from tidemill.engine.intake.receive import DirectBus
from tidemill.engine.runs.end import finish
from tidemill.model import CancelSpec, CronTrigger, EventTrigger, Failure, FunctionSpec
from tidemill.ports import APPENDED, World
from tidemill_lambdas import api, ingest
from tidemill_lambdas.api.about import document
from tidemill_lambdas.keys import AnyKey, Keys
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.store.database import Database

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


class Alive:
    def alive(self, claim: Claimed, now: int) -> bool:
        return True


def make_world(database: Database) -> World:
    registry = LocalRegistry()
    registry.replace(FUNCTIONS, "v1")
    bus = DirectBus()
    stores = (database.runs, database.events, database.waits, database.blobs)
    world = World(
        *stores,
        Queue(),
        bus,
        registry,
        Clock(),
        Entropy(),
        Alive(),
        database.flow,
        pauses=database.pauses,
        jobs=database.jobs,
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


DOCUMENT: dict[str, Any] = msgspec.json.decode(document())
ROUTES = (*ingest.ROUTES, *api.ROUTES)
TIMES = FormatChecker(())


@TIMES.checks("date-time")
def is_time(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None


@cache
def _validator(template: str, method: str, status: int) -> Draft202012Validator:
    """What the OpenAPI document says of this answer. KeyError: it knows of none."""
    answer = DOCUMENT["paths"][template][method.lower()]["responses"][str(status)]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer["content"]["application/json"]["schema"]
    return Draft202012Validator({"components": DOCUMENT["components"], "allOf": [schema]}, format_checker=TIMES)


def check_answer(method: str, path: str, status: int, body: str) -> None:
    """Every answer that a test sees is as the OpenAPI document says, or an error of no route."""
    method = "GET" if method == "HEAD" else method
    route = next((route for route in ROUTES if route.method == method and route.match(path) is not None), None)
    if route is None:
        assert status in (401, 404, 405, 501)
        return
    template = route.template.replace("+}", "}")
    _validator(template, method, status).validate(msgspec.json.decode(body))


@dataclass
class Caller:
    """Calls the handlers as the dev server does."""

    world: World
    keys: Keys = field(default_factory=AnyKey)

    def __call__(
        self, method: str, target: str, body: Any = None, *, headers: dict[str, str] | None = None, **payload: Any
    ) -> Answer:
        text = body if isinstance(body, str) or body is None else msgspec.json.encode(body).decode()
        request = {**http_api.event(method, target, None, headers or {}), "body": text, **payload}
        path = request["rawPath"]
        handler = ingest if path.startswith(("/e/", "/w/")) else api
        status, given, content = http_api.answered(lambda asked: handler.handle(asked, self.world, self.keys), request)
        if status not in (301, 302, 303, 307):
            check_answer(method, path, status, content.decode())
        return Answer(status, given, content.decode())

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

    def claim(self, run_id: str) -> None:
        """What an executor does before it runs the run's code."""
        assert open_run(self.world, run_id, "worker/0", 2**53) is not None

    def append(self, run_id: str, *records: Record) -> None:
        """What an executor appends."""
        seq = len(self.world.runs.read(run_id))
        assert self.world.runs.append(run_id, seq, records) == APPENDED

    def end(self, run_id: str, value: bytes | None = b"null", failure: Failure | None = None) -> None:
        ended = Ended(self.world.clock.now(), "failed" if failure else "completed", None if failure else value, failure)
        self.append(run_id, ended)
        finish(self.world, run_id)


@pytest.fixture
def world() -> Iterator[World]:
    with Database(":memory:") as database:
        yield make_world(database)


@pytest.fixture
def call(world: World) -> Caller:
    return Caller(world)
