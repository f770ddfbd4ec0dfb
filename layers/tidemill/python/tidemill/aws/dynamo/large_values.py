"""Stores bytes in an item if they fit, else in a blob that the item names.

An item may have 400 KB, but a large one is expensive to write (a unit for each KB) and slow to read with its whole
journal. A blob is cheaper well before that limit.
"""

from __future__ import annotations

from tidemill.limits import KIB
from tidemill.ports import Blobs

INLINE = 64 * KIB


def kept(data: bytes, blobs: Blobs, name: str | None = None) -> bytes | str:
    """The attribute's value: the bytes, or as text the name of their blob, which is stored by then."""
    return data if len(data) <= INLINE else blobs.put(data, name)


def restored(value: bytes | str, blobs: Blobs) -> bytes:
    return value if isinstance(value, bytes) else blobs.get(value)
