"""Reads every request body as strict JSON (RFC 8259), whatever the content type, with a sentence for each error.

msgspec is strict already: UTF-8 without a byte order mark, no NaN, no halves of surrogate pairs, nothing after the
value. This module adds two rules, because the values are stored and read by others: no nesting that would exhaust a
reader's stack, and no integer beyond 64 bits, which journals cannot hold and most readers would round.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NoReturn, cast

import msgspec

from tidemill import characters, json_numbers
from tidemill.limits import JSON_DEPTH
from tidemill_lambdas.http import Refused

_ESCAPED = re.compile(rb"\\u[fF]{3}[eEfF]")
_decoder = msgspec.json.Decoder()
_packer = msgspec.msgpack.Encoder()
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = tuple({ord("["): 1, ord("{"): 1}.get(sign, -1) for sign in range(256))


def loads(body: bytes, levels: int = JSON_DEPTH) -> Any:
    """The value of a body. Raises Refused (400) with the problem and its place."""
    if too_deep(body, levels):
        raise Refused(
            400, f"the body nests deeper than {JSON_DEPTH} levels; flatten it, or send what is inside as text"
        )
    if not body.strip():
        raise Refused(400, "the body is empty; send JSON")
    if body.startswith(b"\xef\xbb\xbf"):
        raise Refused(400, "the body begins with a byte order mark; send plain UTF-8 without one")
    try:
        value = _decoder.decode(body)
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8; JSON has no other encoding") from None
    except msgspec.ValidationError as error:  # a number: the error does not give its place
        return _marked(body, error)
    except msgspec.DecodeError as error:
        raise Refused(400, f"the body is not JSON: {_explained(error)}") from None
    return value


def unstorable(value: object) -> tuple[characters.Place, str] | None:
    """What cannot be stored, if anything: its place, ("data", "items", 3), and a sentence."""
    place = None if fits_words(value) else _find(value, ())
    if place is not None:
        return place, json_numbers.SENTENCE
    place = characters.place_of(value)
    return (place, characters.SENTENCE) if place is not None else None


def too_deep(body: bytes, levels: int = JSON_DEPTH) -> bool:
    """Whether brackets nest deeper than `levels`. Takes a microsecond or two per kilobyte."""
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    brackets = _without_texts(body).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels


def odd(body: bytes, value: object) -> bool:
    """Whether something may have to be refused, which only the slow check can decide."""
    return characters.any_in(body) or (b"\\u" in body and bool(_ESCAPED.search(body))) or not fits_words(value)


def fits_words(value: object) -> bool:
    """Whether every whole number in it fits 64 bits."""
    try:
        _packer.encode(value)
    except OverflowError:
        return False
    return True


def _marked(body: bytes, error: msgspec.DecodeError) -> Any:
    """The value of a body with a number that is too large, for `unstorable` to find."""
    try:
        # A syntax error that the decoder had not reached yet is reported first.
        return json.loads(body, parse_int=json_numbers.whole, parse_float=json_numbers.real, parse_constant=_refuse)
    except ValueError:
        raise Refused(400, f"the body is not JSON, and a number in it is too large: {_explained(error)}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _without_texts(body: bytes) -> bytes:
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # then every remaining quote begins or ends a text
    return b"".join(body.split(b'"')[::2])


def _explained(error: msgspec.DecodeError) -> str:
    text = str(error)
    if "truncated" in text:
        return "it ends too early, or holds half of a surrogate pair"
    return text.removeprefix("JSON is malformed: ").lower() if text.isascii() else text


def _find(value: object, place: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    if isinstance(value, int):
        return None if fits_words(value) else place
    if isinstance(value, dict):
        inner: Iterable[tuple[str | int, object]] = cast("dict[str | int, object]", value).items()
    elif isinstance(value, list):
        inner = enumerate(cast("list[object]", value))
    else:
        return None
    return next((found for key, item in inner if (found := _find(item, (*place, key)))), None)
