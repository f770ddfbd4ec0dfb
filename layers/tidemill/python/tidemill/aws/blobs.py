"""Large values as objects in the deployment's bucket, named by a digest of their content.

A PUT does not ask first whether the object exists: that would cost as much time as it saves, and an object that is put
again, or copied onto itself, starts a new life in the bucket. Values that this process just put are skipped.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus

from tidemill.aws.calls.client import AwsError, Client
from tidemill.errors import JournalError, Unavailable

PREFIX = "blobs/"
SIGNED = 300
# Without permission to list the bucket, S3 answers 403 for a missing object.
_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REMEMBERED = 256  # names that this process has put


class S3Blobs:
    """The port `Blobs`."""

    def __init__(self, client: Client, bucket: str, owner: str = "") -> None:
        """`owner`: the account of the bucket. S3 refuses a bucket of this name in another account."""
        self._client = client
        self._headers = {"x-amz-expected-bucket-owner": owner} if owner else {}
        self._bucket = bucket
        self._put: dict[str, None] = {}  # in the order in which they were put

    def put(self, data: bytes, name: str | None = None) -> str:
        if name is not None:
            self._client.send("s3", "PUT", self._path(name), headers=self._headers, body=data)
            return name
        name = hashlib.sha256(data).hexdigest()
        if name not in self._put:
            self._client.send("s3", "PUT", self._path(name), headers=self._headers, body=data)
            self._put[name] = None
            if len(self._put) > _REMEMBERED:
                del self._put[next(iter(self._put))]
        return name

    def get(self, name: str) -> bytes:
        """Raises JournalError if there is no such object, or its content does not match its name."""
        try:
            data = self._client.send("s3", "GET", self._path(name), headers=self._headers).body
        except AwsError as error:
            if error.status not in _MISSING:
                raise
            raise JournalError(
                f"the value {name} that a journal refers to is not in the store (S3 answered {error.code})"
            ) from error
        if _DIGEST.fullmatch(name) and hashlib.sha256(data).hexdigest() != name:
            raise JournalError(f"the value {name} that a journal refers to is not what the store holds under this name")
        return data

    def address(self, name: str) -> str:
        """A URL that is valid for `SIGNED` seconds, or until these credentials expire."""
        return self._client.presigned("GET", self._path(name), SIGNED, {"response-content-type": "application/json"})

    def renew(self, name: str) -> None:
        source = {**self._headers, "x-amz-copy-source": self._path(name), "x-amz-metadata-directive": "REPLACE"}
        try:
            reply = self._client.send("s3", "PUT", self._path(name), headers=source)
        except AwsError as error:
            if error.status not in _MISSING:
                raise
            return
        if b"<Error>" in reply.body:  # a copy may fail after S3 has answered 200
            raise Unavailable(f"the value {name} could not be renewed")

    def _path(self, name: str) -> str:
        return f"/{self._bucket}/{PREFIX}{name}"
