"""The context that all runtimes in AWS share: a client, the deployment's settings, its bucket, and the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tidemill.aws.calls.client import Client
from tidemill.aws.settings import Settings
from tidemill.ports import Blobs


@dataclass(frozen=True, slots=True)
class Places:
    """`once`: a client without retries, for requests that must not be made twice."""

    client: Client
    once: Client
    settings: Settings
    blobs: Blobs
    now: Callable[[], int]  # milliseconds since the epoch


def places(client: Client, settings: Settings, blobs: Blobs, now: Callable[[], int]) -> Places:
    return Places(client, client.once(), settings, blobs, now)
