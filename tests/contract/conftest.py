"""Every store behind the ports meets the same suite: a new backend is one more entry in BACKENDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidemill.ports import Blobs, EventStore, RunStore, WaitStore
from tidemill_local.store.database import MEMORY, Database


@dataclass(frozen=True)
class Stores:
    runs: RunStore
    events: EventStore
    waits: WaitStore
    blobs: Blobs


@contextmanager
def _sqlite(path: str | Path) -> Iterator[Stores]:
    with Database(path) as db:
        yield Stores(db.runs, db.events, db.waits, db.blobs)
        db.commit()


Backend = Callable[[Path], AbstractContextManager[Stores]]
BACKENDS: dict[str, Backend] = {
    "sqlite-memory": lambda _: _sqlite(MEMORY),
    "sqlite-file": lambda folder: _sqlite(folder / "data"),
}


@pytest.fixture(params=list(BACKENDS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    backend = BACKENDS[str(request.param)]
    with backend(tmp_path) as stores:
        yield stores


@pytest.fixture
def runs(stores: Stores) -> RunStore:
    return stores.runs


@pytest.fixture
def events(stores: Stores) -> EventStore:
    return stores.events


@pytest.fixture
def waits(stores: Stores) -> WaitStore:
    return stores.waits


@pytest.fixture
def blobs(stores: Stores) -> Blobs:
    return stores.blobs
