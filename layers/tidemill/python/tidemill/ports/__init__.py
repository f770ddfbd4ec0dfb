"""The ports: the interfaces of stores, queues and clocks that the engine needs. A world is one set of their adapters.

Every call may fail, be slow, succeed and look failed, or be made twice; the engine is written for that. Nothing here
promises more than one item's conditional write and a strongly consistent read by key, except `RunStore.append` with
a head change, which is one transaction. Times are milliseconds since the epoch.
"""

from __future__ import annotations

from tidemill.ports.flow import FlowStore, Grant, Hold, Leaver, Usage, Waiting, Window
from tidemill.ports.jobs import Jobs, NoJobs
from tidemill.ports.keeper import Keeper
from tidemill.ports.lists import Damaged, EventQuery, Page, RunQuery
from tidemill.ports.pauses import NoPauses, Pauses
from tidemill.ports.stores import APPENDED, Appended, Blobs, EventStore, Lost, RunStore, WaitStore
from tidemill.ports.world import Bus, Clock, Entropy, Liveness, Queue, Registry, World
from tidemill.run_logs import Logs

__all__ = [
    "APPENDED",
    "Appended",
    "Blobs",
    "Bus",
    "Clock",
    "Damaged",
    "Entropy",
    "EventQuery",
    "EventStore",
    "FlowStore",
    "Grant",
    "Hold",
    "Jobs",
    "Keeper",
    "Leaver",
    "Liveness",
    "Logs",
    "Lost",
    "NoJobs",
    "NoPauses",
    "Page",
    "Pauses",
    "Queue",
    "Registry",
    "RunQuery",
    "RunStore",
    "Usage",
    "WaitStore",
    "Waiting",
    "Window",
    "World",
]
