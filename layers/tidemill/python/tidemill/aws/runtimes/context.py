"""What the runtimes of an account share: a client, the mill's names, its bucket, and the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tidemill.aws.calls.client import Client
from tidemill.aws.settings import Settings
from tidemill.ports import Blobs


@dataclass(frozen=True, slots=True)
class Places:
    """`once`: a client that makes each request one time only: for what must not be begun twice."""

    client: Client
    once: Client
    settings: Settings
    blobs: Blobs
    now: Callable[[], int]  # milliseconds since the epoch


def places(client: Client, settings: Settings, blobs: Blobs, now: Callable[[], int]) -> Places:
    return Places(client, client.once(), settings, blobs, now)
