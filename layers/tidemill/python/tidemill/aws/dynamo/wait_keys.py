"""Under which key an event and the waits for it meet: its name, a path in it, and the hash of the value there."""

from __future__ import annotations

from tidemill.aws.dynamo.keys import fitting


def awaited_key(kind: str, name: str, path: str, hash_: str) -> str:
    """`<kind>#<name>#<path>=<hash>`. The name is quoted, so that no `#` in it can be taken for the one that ends it."""
    return f"{kind}#{quoted(name)}#{fitting(path)}={hash_}"


def quoted(part: str) -> str:
    """A part of a key that may hold any character but `#`, whatever it is made of."""
    return part.replace("%", "%25").replace("#", "%23")
