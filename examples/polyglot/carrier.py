"""A carrier's price service: plain HTTP, no import of ours. `python carrier.py 8399` listens until it is stopped.

It takes only what is signed, busy as it is it first asks everyone to come again in a second, and it makes one offer a
parcel: an attempt that it has answered already, told by its idempotency key, is given the same answer.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ.get("TIDEMILL_SIGNING_KEY", "tidemill-dev-signing-key")
OFFERS = {}
ASKED = set()


def signed(header, body):
    parts = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(KEY.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


class Rates(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        if not signed(self.headers.get("Tidemill-Signature", "t=0,v1="), body):
            self.answer(401, {"error": "this is not signed with our key"})
        elif key not in ASKED:
            ASKED.add(key)
            self.answer(429, {"error": "come again"}, ("Retry-After", "1"))
        else:
            grams = json.loads(body)["steps"]["weigh"]["grams"]
            offer = OFFERS.setdefault(key, {"offer": len(OFFERS) + 1, "cents": 390 + grams // 10})
            self.answer(200, offer)

    def answer(self, status, value, *headers):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(data)))):
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Rates)
    print(f"the carrier answers on port {server.server_port}", flush=True)
    server.serve_forever()
