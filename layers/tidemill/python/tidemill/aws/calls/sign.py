"""AWS's Signature Version 4, for requests whose body is at hand.

The signature covers method, path, query, the given headers, and the body's digest. The signing key is derived from the
secret, the day, the region and the service; it is valid for a day, so a call costs two HMACs and two digests.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """Keys of an AWS account; keys that expire have a `token`."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"


class Signer(NamedTuple):
    """For whom a request is signed, where, and when: `stamp` is now, as 20261122T095900Z."""

    credentials: Credentials
    region: str
    service: str
    stamp: str

    @property
    def scope(self) -> str:
        return f"{self.stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def signature(self, canonical: str) -> str:
        text = f"{_ALGORITHM}\n{self.stamp}\n{self.scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = _key(self.credentials.secret_key, self.stamp[:8], self.region, self.service)
        return hmac.digest(key, text.encode(), "sha256").hex()


def sign(by: Signer, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers to send: `headers` (lower-case names, with `host`), and what the signature adds.

    `path` and `query` as on the request line, quoted; the query's parts in order.
    """
    credentials = by.credentials
    digest = hashlib.sha256(body).hexdigest()
    sent = {**headers, "x-amz-date": by.stamp}
    if credentials.token is not None:
        sent["x-amz-security-token"] = credentials.token
    if by.service == "s3":  # signs the path as it is sent, all others quoted once more
        sent["x-amz-content-sha256"] = digest
    else:
        path = quote(path, safe="/~")
    names = sorted(sent)
    signed = ";".join(names)
    lines = "\n".join([f"{name}:{' '.join(sent[name].split())}" for name in names])
    canonical = f"{method}\n{path}\n{query}\n{lines}\n\n{signed}\n{digest}"
    credential = f"{credentials.access_key}/{by.scope}"
    sent["authorization"] = (
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={by.signature(canonical)}"
    )
    return sent


def presigned(by: Signer, method: str, host: str, path: str, seconds: int, also: Mapping[str, str] = {}) -> str:
    """The query of a URL of S3 that lets its holder make this one request, for a time, with these credentials.

    `path` quoted; `also`: more parameters. The URL expires with the credentials, if that is sooner.
    """
    asked = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{by.credentials.access_key}/{by.scope}",
        "X-Amz-Date": by.stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **also,
    }
    if by.credentials.token is not None:
        asked["X-Amz-Security-Token"] = by.credentials.token
    query = query_string(asked)
    canonical = f"{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    return f"{query}&X-Amz-Signature={by.signature(canonical)}"


def query_string(query: Mapping[str, str]) -> str:
    """A query, quoted and ordered as it is signed and sent."""
    if not query:
        return ""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join([f"{name}={value}" for name, value in pairs])


@lru_cache(maxsize=32)  # enough for the services of a few regions, today and yesterday
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
