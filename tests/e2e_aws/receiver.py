"""An HTTP service that takes what a step sends, checks who sent it, and answers."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
from typing import Any


class Receiver:
    """`taken`: the headers and bodies that came."""

    def __enter__(self) -> Receiver:
        taken: list[tuple[dict[str, str], bytes]] = []
        self.taken = taken

        class Taker(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                taken.append((dict(self.headers), body))
                answer = json.dumps({"took": len(taken)}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


def signed(headers: dict[str, str], body: bytes, key: str) -> bool:
    """As the documentation tells whoever receives one."""
    said = dict(part.split("=", 1) for part in headers["Tidemill-Signature"].split(","))
    wanted = hmac.new(key.encode(), said["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, said["v1"])
