"""A real AWS account in the place of the emulator: the same questions, over HTTPS, with the caller's credentials."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

Clients = Callable[[str], Any]  # a boto3 client by the name of its service


class Account:
    """`url` is the deployment's; `host`: under which it is asked, where that is not the URL's own."""

    # Of the emulator alone: `Stories` skips a story that looks at them.
    folder: Any
    port: Any
    api: Any
    calls: Any

    def __init__(self, url: str, clients: Clients, host: str = "") -> None:
        self._url = urlsplit(url)
        self._host = host or self._url.netloc
        self.client = clients

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """The status, and the body's JSON."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=60)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"Host": self._host, **(headers or {})})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()
