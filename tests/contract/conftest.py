"""Every store behind the ports meets the same suite: a new backend is one more entry in BACKENDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.stale import Copy, StaleTransport

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.flow import DynamoFlow
from tidemill.aws.dynamo.jobs import DynamoJobs
from tidemill.aws.dynamo.pauses import DynamoPauses
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.table import Table
from tidemill.aws.dynamo.waits import DynamoWaits
from tidemill.ports import Blobs, EventStore, FlowStore, Jobs, Pauses, RunStore, WaitStore
from tidemill_local.store.database import MEMORY, Database
from tidemill_local.store.runs import SqliteRuns
from tidemill_local.testing import moto
from tidemill_local.testing.machine import EPOCH, VirtualClock


@dataclass(frozen=True)
class Stores:
    runs: RunStore
    events: EventStore
    waits: WaitStore
    blobs: Blobs
    flow: FlowStore
    pauses: Pauses
    jobs: Jobs
    others: RunStore  # the same runs, as another process has them


@contextmanager
def _sqlite(path: str | Path) -> Iterator[Stores]:
    with Database(path) as db:
        yield Stores(db.runs, db.events, db.waits, db.blobs, db.flow, db.pauses, db.jobs, SqliteRuns(db))
        db.commit()


@contextmanager
def _dynamodb(stale: bool = False) -> Iterator[Stores]:
    """Tables are made and dropped in a few milliseconds; the bucket holds what is named by its content.

    `stale`: a read that is not marked strong has never heard of any write.
    """
    client = moto.client()
    name, bucket = moto.fresh("table"), moto.fresh("bucket")
    moto.create_table(client, name)
    moto.create_bucket(client, bucket)
    copy = Copy(client, name, lambda: 0, lambda: None) if stale else None
    if copy is not None:
        client = moto.client(StaleTransport(moto.MotoTransport(), copy))
    table, blobs = Table(client, name), S3Blobs(client, bucket)
    runs, others = (DynamoRuns(table, blobs, VirtualClock(EPOCH)) for _ in range(2))
    events, flow, pauses = DynamoEvents(table, blobs), DynamoFlow(table), DynamoPauses(table, VirtualClock(EPOCH))
    jobs = DynamoJobs(table)
    if copy is not None:
        lists = ("page", "counts", "idle", "overdue", "of_event")
        yield Stores(
            copy.listed(runs, *lists),
            copy.listed(events, "page", "delayed"),
            DynamoWaits(table),
            blobs,
            copy.listed(flow, "usage"),
            pauses,
            jobs,
            copy.listed(others, *lists),
        )
        copy.drop()
    else:
        yield Stores(runs, events, DynamoWaits(table), blobs, flow, pauses, jobs, others)
    client.call("dynamodb", "DeleteTable", {"TableName": name})


Backend = Callable[[Path], AbstractContextManager[Stores]]
BACKENDS: dict[str, Backend] = {
    "sqlite-memory": lambda _: _sqlite(MEMORY),
    "sqlite-file": lambda folder: _sqlite(folder / "data"),
    "dynamodb (moto)": lambda _: _dynamodb(),
    "dynamodb (stale)": lambda _: _dynamodb(stale=True),
}


@pytest.fixture(params=list(BACKENDS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    backend = BACKENDS[str(request.param)]
    with backend(tmp_path) as stores:
        yield stores


@pytest.fixture
def many(stores: Stores) -> int:
    """More runs than a store that remembers the latest remembers."""
    return 5_000 if isinstance(stores.runs, SqliteRuns) else 100


@pytest.fixture
def runs(stores: Stores) -> RunStore:
    return stores.runs


@pytest.fixture
def others(stores: Stores) -> RunStore:
    """Of another process: each holds what it has read."""
    return stores.others


@pytest.fixture
def events(stores: Stores) -> EventStore:
    return stores.events


@pytest.fixture
def waits(stores: Stores) -> WaitStore:
    return stores.waits


@pytest.fixture
def blobs(stores: Stores) -> Blobs:
    return stores.blobs


@pytest.fixture
def flow(stores: Stores) -> FlowStore:
    return stores.flow


@pytest.fixture
def pauses(stores: Stores) -> Pauses:
    return stores.pauses


@pytest.fixture
def jobs(stores: Stores) -> Jobs:
    return stores.jobs
