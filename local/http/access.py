"""Access to the dev server: any key on a loopback address; real keys where other machines can connect."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from dataclasses import dataclass

from tidemill_lambdas.keys import AnyKey, KeyRing, Keys
from tidemill_local.http.door import Hosts

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Access:
    hosts: Hosts
    keys: Keys
    event_key: str  # the event key for the functions' own events; empty: any
    notes: tuple[str, ...]  # the banner's text about it


def access(host: str, port: int) -> Access:
    """The access rules for a server on `host`; the environment may set the keys."""
    if is_loopback(host):
        return Access(Hosts(_named(_LOCAL, port)), AnyKey(), "", ())
    event_key, made_event = _key("TIDEMILL_EVENT_KEY")
    api_key, made_api = _key("TIDEMILL_API_KEY")
    who = "anyone in its networks" if _is_any(host) else f"anyone who reaches {host}"
    notes = [f"Listens on {host}: {who} can connect, and needs a key"]
    notes += [f"  {name}={key} (made for this start)" for name, key, made in (
        ("TIDEMILL_EVENT_KEY", event_key, made_event), ("TIDEMILL_API_KEY", api_key, made_api)) if made]  # fmt: skip
    own = [] if _is_any(host) else [f"[{host}]" if ":" in host else host]
    names = _named((*_LOCAL, *own, socket.gethostname().lower()), port)
    return Access(Hosts(names, any_host=True), KeyRing((event_key,), (api_key,)), event_key, tuple(notes))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104


def _named(names: tuple[str, ...], port: int) -> frozenset[bytes]:
    """Host names in the form of Host and Origin, without the default port."""
    return frozenset(name.encode() for each in names for name in (f"{each}:{port}", *([each] if port == 80 else [])))


def _key(variable: str) -> tuple[str, bool]:
    given = os.environ.get(variable, "").strip()
    return (given, False) if given else (secrets.token_urlsafe(24), True)
