"""Ids: ULIDs for new things, digests where doing the work twice must give the same id."""

from __future__ import annotations

import hashlib

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as the ULID specification has it
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def ulid(ms: int, entropy: bytes) -> str:
    """A ULID (26 characters): 48 bits of time, then 80 bits from `entropy` (10 bytes)."""
    return _base32((ms << 80) | int.from_bytes(entropy[:10], "big"))


def derived(*parts: str) -> str:
    """A 26-character id that the same parts always give: 128 bits of their SHA-256."""
    text = "\x1f".join(parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return _base32(int.from_bytes(digest[:16], "big"))


def _base32(number: int) -> str:
    """26 digits, two at a time."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
