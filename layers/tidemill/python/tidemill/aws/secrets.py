"""Reads a secret that rotates with an overlap: its current value and the previous one are both valid.

The secret is read at most once a minute. An unknown value makes it read again at once, but not more than once in a few
seconds: a key that was just rotated works at the first try, and guessing costs no calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tidemill.aws.calls.client import AwsError, Client
from tidemill.errors import Unavailable

KEPT = 60_000  # milliseconds
AGAIN = 3_000
STAGES = ("AWSCURRENT", "AWSPREVIOUS")


class Secret:
    """`now` returns milliseconds."""

    def __init__(self, client: Client, arn: str, now: Callable[[], int]) -> None:
        self._client = client
        self._arn = arn
        self._now = now
        self._lock = threading.Lock()
        self._values: tuple[str, ...] = ()
        self._asked = -KEPT

    def values(self, fresh: bool = False) -> tuple[str, ...]:
        """The values that are valid now. `fresh`: read again, unless that was a moment ago.

        If Secrets Manager does not answer, the known values stay valid; raises Unavailable if none is known.
        """
        with self._lock:
            age = self._now() - self._asked
            if age >= (AGAIN if fresh else KEPT):
                try:
                    self._values = tuple(value for stage in STAGES if (value := self._value(stage)))
                except Unavailable:
                    if not self._values:
                        raise
                self._asked = self._now()
            return self._values

    def _value(self, stage: str) -> str:
        body = {"SecretId": self._arn, "VersionStage": stage}
        try:
            return str(self._client.call("secretsmanager", "GetSecretValue", body).get("SecretString") or "")
        except AwsError as error:
            if error.code == "ResourceNotFoundException" and stage != STAGES[0]:
                return ""  # it was never rotated
            raise
