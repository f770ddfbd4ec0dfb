"""The keys of limits, windows and batches, made from their owner and the value of a key expression.

A key is the digest of its owner (a *family*: one function's throttle, an account's limit on one API) and the hash of a
value. If the path of a key is missing, the value is null: all such runs share one key, and each notes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

from tidemill import ids
from tidemill.core import expression, match
from tidemill.limits import KEY_LABEL_CHARS
from tidemill.model import Event, FunctionSpec, event_fields

_PLAIN = (str, int, float, type(None))
_shown = json.JSONEncoder(default=str, ensure_ascii=False).encode


class Key(NamedTuple):
    """`text`: the stored form. `label`: the key's value, for people; empty where there is no key."""

    text: str
    label: str


@lru_cache(maxsize=4096)
def family(*parts: str) -> str:
    """The common prefix of all keys of one limit."""
    return ids.derived("flow", *parts)


def key(family: str, written: str | None, event: Event | None) -> Key:
    """The key of this event in a family; `written` is the key's expression."""
    if written is None:
        return Key(f"{family}/", "")
    value = expression.compile(written).value(_variables(event))
    if value is match.MISSING:
        value = None
    return _of_plain(family, value) if isinstance(value, _PLAIN) else _of(family, value)


def _of(family: str, value: Any) -> Key:
    return Key(f"{family}/{match.value_hash(value)}", _label(value))


# Typed: `1`, `1.0` and `True` are equal as keys of a dict, but have three labels.
_of_plain = lru_cache(maxsize=4096, typed=True)(_of)


def notes(spec: FunctionSpec, event: Event | None) -> tuple[str, ...]:
    """A sentence for each expression of the function's flow control that has no value in this event."""
    return tuple(
        f"{where}: {missing}"
        for where, written in _expressions(spec.flow)
        if (missing := expression.compile(written).missing(_variables(event))) is not None
    )


def _expressions(flow: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for feature, declared in flow.items():
        if isinstance(declared, str):
            yield feature, declared
            continue
        several = cast("Iterable[Any]", declared if isinstance(declared, list | tuple) else [declared])
        for each in several:
            if each.get("key") is not None:
                yield f"{feature}.key", each["key"]


def _variables(event: Event | None) -> dict[str, Any]:
    return {} if event is None else {"event": event_fields(event)}


def _label(value: Any) -> str:
    text = value if isinstance(value, str) else _shown(value)
    return text if len(text) <= KEY_LABEL_CHARS else text[: KEY_LABEL_CHARS - 1] + "…"
