"""Characters that SQS takes in no message, and EventBridge puts into messages of SQS: U+FFFE and U+FFFF.

It refuses control characters too, but those JSON escapes; half a surrogate is no text at all. An event that holds one
of the two might never arrive, so it is refused at every door. What the platform itself sends to a queue escapes them.
"""

from __future__ import annotations

from typing import cast

REFUSED = ("\ufffe", "\uffff")
SENTENCE = "U+FFFE and U+FFFF are no characters that a queue takes; leave them out, or send what is binary as base64"

_IN_UTF8 = tuple(sign.encode() for sign in REFUSED)
Place = tuple[str | int, ...]


def any_in(encoded: bytes) -> bool:
    """Whether JSON that escapes no more than it must holds one."""
    return any(sign in encoded for sign in _IN_UTF8)


def escaped(encoded: str) -> str:
    """The same JSON without them."""
    for sign in REFUSED:
        if sign in encoded:
            encoded = encoded.replace(sign, f"\\u{ord(sign):04x}")
    return encoded


def cleaned(text: str) -> str:
    """Text for people to read, where they are replaced."""
    for sign in REFUSED:
        text = text.replace(sign, "\ufffd")
    return text


def place_of(value: object, place: Place = ()) -> Place | None:
    """Where the first is, if there is one: ("data", "items", 3); one in a key is at that key."""
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
