"""The keys by which an event finds its waits: its name, a path in it, and the hash of the value at that path."""

from __future__ import annotations

from tidemill.aws.dynamo.keys import fitting


def awaited_key(kind: str, name: str, path: str, hash_: str) -> str:
    """`<kind>#<name>#<path>=<hash>`. The name is quoted, so that a `#` in it cannot be mistaken for the separator."""
    return f"{kind}#{quoted(name)}#{fitting(path)}={hash_}"


def quoted(part: str) -> str:
    """Quote a part of a key, so that it contains no `#`."""
    return part.replace("%", "%25").replace("#", "%23")
