"""The state that all HTTP connections share: the handler, access, the limit of connections, and their turns."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill_local.http.payload import Answer
from tidemill_local.server.tick import Tick

if TYPE_CHECKING:
    from tidemill_local.http.connection import Connection

SHARE = 0.005  # seconds of a turn of the loop for requests
UNREAD_BYTES = 64 * 1024 * 1024  # bytes of answers that clients do not read, over all connections
CONNECTIONS = 4_096
_DESCRIPTORS_KEPT = 128  # descriptors for slots, files and pipes

Handle = Callable[[dict[str, Any]], Generator[None, None, Answer]]


@dataclass(frozen=True)
class Hosts:
    """The addresses of this server, as the Host and Origin headers name them."""

    names: frozenset[bytes]  # `host:port`
    any_host: bool = False  # other machines may call, by unknown names


class Door:
    """Requests take at most `SHARE` of one turn of the loop; the others wait for the next. Otherwise eight senders of a
    hundred events each would block every function until the last event is stored.
    """

    def __init__(
        self,
        handle: Handle,
        tick: Tick,
        hosts: Hosts | None,
        most: int | None = None,
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`hosts` None: every client may connect. `most`: connections at a time; None: as descriptors allow."""
        self._seconds = seconds
        self.handle = handle
        self.tick = tick
        self.hosts = hosts
        self.connections: dict[Connection, None] = {}  # the oldest first
        self._most = most if most is not None else _most_connections()
        self._loop = asyncio.get_running_loop()
        self._spent = 0.0  # of this turn
        self._begun = self._until = 0.0
        self._waiting: deque[Connection] = deque()
        self._long: deque[Connection] = deque()  # those whose call takes more than one turn
        self._queued: set[Connection] = set()
        self._unread: dict[Connection, int] = {}

    # --- turns -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the work of a connection."""
        self._begun = self._seconds()
        self._until = self._begun + SHARE - self._spent

    def end(self) -> None:
        self._spent += self._seconds() - self._begun

    @property
    def spent(self) -> bool:
        """Whether requests have used up their share of this turn."""
        return self._spent > SHARE

    @property
    def full(self) -> bool:
        """Like `spent`, during the work of a connection."""
        return self._seconds() > self._until

    def wait(self, connection: Connection) -> None:
        """Serve this connection in the next turn."""
        if connection not in self._queued:
            self._queued.add(connection)
            (self._long if connection.busy else self._waiting).append(connection)

    def turned(self) -> None:
        """A turn of the loop is over; waiting connections are served in the next."""
        self._spent = 0.0
        if self._waiting or self._long:
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        """New requests come before long calls; one of each continues in every turn."""
        for queue in (self._waiting, self._long):
            for number in range(len(queue)):
                if number and self.spent:
                    break
                self._serve_first(queue)

    def _serve_first(self, queue: deque[Connection]) -> None:
        connection = queue.popleft()
        self._queued.discard(connection)
        connection.go_on()

    # --- who is connected ------------------------------------------------------------------------------

    def entered(self, connection: Connection) -> None:
        self.connections[connection] = None
        if len(self.connections) <= self._most:
            return
        idle = next((other for other in self.connections if other.idle and other is not connection), None)
        if idle is not None:
            idle.abort()
            del self.connections[idle]
        else:
            connection.send_away(f"this server has {self._most} connections, and takes no more; close some")

    def left(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        self._unread.pop(connection, None)

    def blocked(self, connection: Connection, unread: int) -> None:
        """A client does not read its answers. If all unread answers exceed the limit, the largest is dropped."""
        self._unread[connection] = unread
        while sum(self._unread.values()) > UNREAD_BYTES and len(self._unread) > 1:
            slowest = next(iter(self._unread))
            del self._unread[slowest]
            slowest.abort()

    def unblocked(self, connection: Connection) -> None:
        self._unread.pop(connection, None)


def _most_connections() -> int:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(16, min(CONNECTIONS, allowed - _DESCRIPTORS_KEPT))


def refusal_of(headers: dict[bytes, bytes], hosts: Hosts | None) -> str | None:
    """Why a request is refused: a page from elsewhere in the browser must not reach this server by any name."""
    if hosts is None:
        return None
    host = headers.get(b"host", b"").lower()
    own = host in hosts.names or any(
        name.rpartition(b":")[0] == host for name in hosts.names
    )  # some leave the port out
    if not (own or hosts.any_host):
        return "this server answers on localhost only; use its own address, or start it with --host"
    origin = headers.get(b"origin")
    if origin is None or _is_ours(origin.lower(), host, hosts):
        return None
    return "pages of another origin may not call this server; call it from your own backend"


def _is_ours(origin: bytes, host: bytes, hosts: Hosts) -> bool:
    """Whether a page is this server's own. Foreign DNS can make a name lead here, but not an address."""
    if origin in {b"http://" + name for name in hosts.names}:
        return True
    return hosts.any_host and origin == b"http://" + host and is_address(_name_of(host).decode("latin-1"))


def _name_of(host: bytes) -> bytes:
    name, _, port = host.rpartition(b":")
    return (name if name and port.isdigit() else host).strip(b"[]")


def is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
