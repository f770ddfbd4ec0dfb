"""U+FFFE and U+FFFF: two characters that SQS refuses in every message, although EventBridge passes them to SQS.

SQS refuses control characters too, but JSON escapes those; half a surrogate is not text at all. An event that holds
one of the two might never arrive, so every way in refuses it. Messages that the platform itself sends escape them.
"""

from __future__ import annotations

from typing import cast

REFUSED = ("\ufffe", "\uffff")
SENTENCE = "U+FFFE and U+FFFF are no characters that a queue takes; leave them out, or send what is binary as base64"

_IN_UTF8 = tuple(sign.encode() for sign in REFUSED)
Place = tuple[str | int, ...]


def any_in(encoded: bytes) -> bool:
    """Whether the JSON, which escapes no more than it must, holds one of the two."""
    return any(sign in encoded for sign in _IN_UTF8)


def escaped(encoded: str) -> str:
    """The same JSON with both characters escaped."""
    for sign in REFUSED:
        if sign in encoded:
            encoded = encoded.replace(sign, f"\\u{ord(sign):04x}")
    return encoded


def cleaned(text: str) -> str:
    """The text for people to read: both characters are replaced."""
    for sign in REFUSED:
        text = text.replace(sign, "\ufffd")
    return text


def place_of(value: object, place: Place = ()) -> Place | None:
    """The path of the first one, if any: ("data", "items", 3); the path of one in a key ends with that key."""
    if isinstance(value, str):
        return place if any(sign in value for sign in REFUSED) else None
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            found = place_of(key, (*place, key)) or place_of(item, (*place, key))
            if found is not None:
                return found
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value)):
            found = place_of(item, (*place, number))
            if found is not None:
                return found
    return None
