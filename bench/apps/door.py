"""A lean HTTP server for the peers that have none: it receives an array of events, and `send` starts their work.

Thread a connection, keep-alive, as little parsing as works: it should cost the peer next to nothing.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

Send = Callable[[str, dict[str, Any]], object]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def serve(port: int, send: Send) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_talk, args=(sock, send), daemon=True).start()


def sender(enqueue: Callable[[str], object]) -> Send:
    """A task queue's `send`: a task an event, five for a `bench/fan`."""

    def send(name: str, data: dict[str, Any]) -> None:
        for key in [f"{data['k']}.{i}" for i in range(5)] if name == "bench/fan" else [data["k"]]:
            enqueue(key)

    return send


def _talk(sock: socket.socket, send: Send) -> None:
    buffer = b""
    while True:
        while (head_end := buffer.find(b"\r\n\r\n")) < 0:
            chunk = sock.recv(65536)
            if not chunk:
                return
            buffer += chunk
        head = buffer[:head_end].lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        total = head_end + 4 + length
        while len(buffer) < total:
            buffer += sock.recv(65536)
        for event in json.loads(buffer[head_end + 4 : total]):
            send(event["name"], event["data"])
        buffer = buffer[total:]
        sock.sendall(OK)
