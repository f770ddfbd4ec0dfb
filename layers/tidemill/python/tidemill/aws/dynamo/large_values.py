"""Bytes that may be too large for an item: in it where they fit, else in a blob that it names.

An item may have 400 KB, but a large one is dear to write (a unit for each KB) and slow to read again with its whole
journal. Well before that a blob is the cheaper place.
"""

from __future__ import annotations

from tidemill.limits import KIB
from tidemill.ports import Blobs

INLINE = 64 * KIB


def kept(data: bytes, blobs: Blobs, name: str | None = None) -> bytes | str:
    """What the item holds: the bytes, or as text the name of their blob, which is there by now."""
    return data if len(data) <= INLINE else blobs.put(data, name)


def restored(value: bytes | str, blobs: Blobs) -> bytes:
    return value if isinstance(value, bytes) else blobs.get(value)
