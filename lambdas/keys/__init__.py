"""Checks the keys of requests: event keys only send, API keys read and act."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tidemill_lambdas.http import Refused, Request


class Keys(Protocol):
    """The valid keys; more than one of a kind during a rotation."""

    def may_send(self, event_key: str) -> bool: ...

    def may_act(self, api_key: str) -> bool:
        """`api_key` is empty if the request has none."""
        ...


class AnyKey:
    """Accepts every key: for `tidemill dev` on a developer's machine."""

    def may_send(self, event_key: str) -> bool:  # noqa: ARG002
        return True

    def may_act(self, api_key: str) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True)
class KeyRing:
    """Given keys, compared in constant time."""

    event_keys: tuple[str, ...]
    api_keys: tuple[str, ...]

    def may_send(self, event_key: str) -> bool:
        return _among(event_key, self.event_keys)

    def may_act(self, api_key: str) -> bool:
        return _among(api_key, self.api_keys)


def check_event_key(keys: Keys, event_key: str) -> None:
    if not keys.may_send(event_key):
        raise Refused(401, "this event key is not known; put a valid one into the path: /e/{event_key}")


def api_key(request: Request) -> str:
    """The API key of a request; empty if there is none."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def check_api_key(keys: Keys, request: Request) -> None:
    if not keys.may_act(api_key(request)):
        raise Refused(
            401,
            "this call needs a valid API key; send it as a header: Authorization: Bearer <key>",
            headers={"www-authenticate": 'Bearer realm="tidemill"'},
        )


def _among(key: str, known: Iterable[str]) -> bool:
    """Compares every known key, whichever matches, so that the time reveals nothing."""
    given = key.encode("utf-8", "surrogatepass")
    found = [hmac.compare_digest(given, one.encode()) for one in known if one]
    return any(found)
