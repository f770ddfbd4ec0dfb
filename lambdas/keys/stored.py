"""The keys of a deployment, from Secrets Manager."""

from __future__ import annotations

import os
import time
from functools import cache

from tidemill.aws.secrets import Secret
from tidemill.aws.world import client
from tidemill_lambdas.keys import KeyRing


class StoredKeys:
    """An unknown key may be new: the secret is read once more before the key is refused."""

    def __init__(self, *, event_keys: Secret | None = None, api_keys: Secret | None = None) -> None:
        self._event_keys = event_keys
        self._api_keys = api_keys

    def may_send(self, event_key: str) -> bool:
        return _opens(self._event_keys, event_key)

    def may_act(self, api_key: str) -> bool:
        return _opens(self._api_keys, api_key)


def _opens(secret: Secret | None, key: str) -> bool:
    if secret is None or not key:
        return False
    return _among(key, secret.values()) or _among(key, secret.values(fresh=True))


def _among(key: str, values: tuple[str, ...]) -> bool:
    return KeyRing(values, ()).may_send(key)  # in constant time


@cache
def event_keys() -> StoredKeys:
    return StoredKeys(event_keys=_secret("TIDEMILL_EVENT_KEYS"))


@cache
def api_keys() -> StoredKeys:
    return StoredKeys(api_keys=_secret("TIDEMILL_API_KEYS"))


def _secret(variable: str) -> Secret:
    return Secret(client(), os.environ[variable], lambda: time.monotonic_ns() // 1_000_000)
