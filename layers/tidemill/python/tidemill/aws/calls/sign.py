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


def sign(
    credentials: Credentials,
    region: str,
    service: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    stamp: str,
) -> dict[str, str]:
    """The headers to send: `headers` (lower-case names, with `host`), and those of the signature.

    `path` and `query` as on the request line, quoted; the query's parts in order. `stamp`: now, as 20261122T095900Z.
    """
    digest = hashlib.sha256(body).hexdigest()
    sent = {**headers, "x-amz-date": stamp}
    if credentials.token is not None:
        sent["x-amz-security-token"] = credentials.token
    if service == "s3":  # S3 signs the path as it is sent; all others quote it once more
        sent["x-amz-content-sha256"] = digest
    else:
        path = quote(path, safe="/~")
    names = sorted(sent)
    signed = ";".join(names)
    lines = "\n".join([f"{name}:{' '.join(sent[name].split())}" for name in names])
    canonical = f"{method}\n{path}\n{query}\n{lines}\n\n{signed}\n{digest}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, stamp[:8], region, service), text.encode(), "sha256").hex()
    sent["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    return sent


def presigned(
    credentials: Credentials,
    region: str,
    method: str,
    host: str,
    path: str,
    seconds: int,
    stamp: str,
    also: Mapping[str, str] = {},
) -> str:
    """The query of a URL of S3 that lets its holder make this one request, for a time, with these credentials.

    `path` quoted; `also`: more parameters. The URL expires with the credentials, if that is sooner.
    """
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    asked = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **also,
    }
    if credentials.token is not None:
        asked["X-Amz-Security-Token"] = credentials.token
    query = query_string(asked)
    canonical = f"{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, stamp[:8], region, "s3"), text.encode(), "sha256").hex()
    return f"{query}&X-Amz-Signature={signature}"


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
