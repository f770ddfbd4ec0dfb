"""Values too large for an item: objects in the mill's bucket, named by what they contain.

A PUT is not preceded by a question whether the object is there: that would cost as much time as it saves, and an object
that is put again begins its life in the bucket anew, and so does one that is copied onto itself. Only what this process
itself has put a moment ago is left out.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus

from tidemill.aws.calls.client import AwsError, Client
from tidemill.errors import JournalError, Unavailable

PREFIX = "blobs/"
SIGNED = 300
# Who may not list a bucket is told of a missing object that he may not read it.
_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REMEMBERED = 256  # names that this process has put


class S3Blobs:
    """The port `Blobs`."""

    def __init__(self, client: Client, bucket: str, owner: str = "") -> None:
        """`owner`: the account of the bucket. S3 refuses a bucket of this name that is somebody else's."""
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
        """Raises JournalError if there is no such object, or it holds something else than its name says."""
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
        """A URL that is good for `SIGNED` seconds, or as long as these credentials are."""
        return self._client.presigned("GET", self._path(name), SIGNED, {"response-content-type": "application/json"})

    def renew(self, name: str) -> None:
        source = {**self._headers, "x-amz-copy-source": self._path(name), "x-amz-metadata-directive": "REPLACE"}
        try:
            reply = self._client.send("s3", "PUT", self._path(name), headers=source)
        except AwsError as error:
            if error.status not in _MISSING:
                raise
            return
        if b"<Error>" in reply.body:  # S3 may find out that a copy fails after it has answered 200
            raise Unavailable(f"the value {name} could not be renewed")

    def _path(self, name: str) -> str:
        return f"/{self._bucket}/{PREFIX}{name}"
