"""Everyone that can be measured, in the table's order."""

from __future__ import annotations

from peers.base import Peer
from peers.celery import Celery
from peers.dbos import Dbos
from peers.dramatiq import Dramatiq
from peers.huey import Huey
from peers.restate import Restate
from peers.tidemill import Tidemill

PEERS: dict[str, type[Peer]] = {p.name: p for p in (Tidemill, Restate, Dbos, Huey, Celery, Dramatiq)}
# Asked for by readers, not measured, and why.
NOT_RUN = {"Inngest": "its npm package downloads a binary from outside the package registries"}
