"""`tidemill dev`: starts the whole platform on one machine.

The order of its steps keeps the start short: the zygote is forked first, while this process is small, and imports the
engine and the user's code while this process imports its own parts, takes the data folder and the port.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tidemill_local.workers import wire, zygote

PATIENCE = 2.0  # seconds to wait for the port of a server that was just killed


@dataclass(frozen=True)
class DevOptions:
    """The options of `tidemill dev`, with their defaults."""

    targets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8288
    data: str = ".tidemill"
    concurrency: int = 32
    env_file: str | None = None  # None: `.env`, if there is one
    durable: bool = False
    reload: bool = True
    events: bool = True  # one line per event


def run(options: DevOptions) -> int:
    """Serve until Ctrl-C or SIGTERM. The exit code: 0; 1 if it could not start, with the reason on stderr."""
    forked = zygote.fork_zygote()
    try:
        return _serve(options, _listen(options.host, options.port), forked)
    except _CannotStart as error:
        print(f"tidemill: {error}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        forked[1].close()  # stops the zygote
        with contextlib.suppress(ChildProcessError):
            os.waitpid(forked[0], 0)


class _CannotStart(Exception):
    pass


def _serve(options: DevOptions, listener: socket.socket, forked: tuple[int, socket.socket]) -> int:
    from tidemill_local.http.access import access

    port = listener.getsockname()[1]
    allowed = access(options.host, port)
    order = wire.Fork(
        load=1,
        targets=options.targets,
        cwd=os.getcwd(),
        env_file=options.env_file or ".env",
        env_file_required=options.env_file is not None,
        url=_url(options.host, port),
        event_key=allowed.event_key,
    )
    ordered = zygote.send_order(forked[1], order)  # it loads while this process imports the rest

    import signal

    from tidemill_local.server.loop import TurnLoop
    from tidemill_local.server.server import Server, Settings
    from tidemill_local.store.database import Database
    from tidemill_local.store.errors import StoreError

    settings = Settings(order, Path(options.data), options.concurrency, options.reload, allowed, options.events)
    try:
        db = Database(settings.data, options.durable)
    except StoreError as error:
        raise _CannotStart(error) from None

    loop = TurnLoop()

    async def main() -> None:
        server = Server(settings, db, loop)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        server.start(forked, ordered)
        await server.serve(listener)

    with db:
        loop.run_until_complete(main())
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # a last one comes too late
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket; waits a little for the port of a server that was just killed."""
    deadline = time.monotonic() + PATIENCE
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise _CannotStart(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
            if time.monotonic() > deadline:
                raise _CannotStart(
                    f"port {port} is in use by another program; stop it, or choose another port with --port"
                ) from None
            time.sleep(0.02)
        else:
            return listener


def _url(host: str, port: int) -> str:
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{named}:{port}"
