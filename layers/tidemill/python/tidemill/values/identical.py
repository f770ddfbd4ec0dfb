"""Compares a decoded value with the one that was encoded: equal, and of the same types all the way down.

`==` is not enough: 1 == 1.0 == True, two datetimes are equal across zones, and a model does not compare which of its
fields were set.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any, cast


def identical(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return _same_mapping(cast("Any", one), cast("Any", other))
    if isinstance(one, list | tuple):
        return _same_items(cast("Sequence[Any]", one), cast("Sequence[Any]", other))
    if isinstance(one, datetime | time):
        return _clock(one) == _clock(cast("datetime | time", other))
    if _is_model(one):
        return _same_model(cast("Any", one), cast("Any", other))
    return one == other


def _same_mapping(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)


def _same_items(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) == len(other) and all(map(identical, one, other))


def _clock(value: datetime | time) -> tuple[object, ...]:
    return value.replace(tzinfo=None), value.fold, value.utcoffset(), getattr(value.tzinfo, "key", None)


def _is_model(value: object) -> bool:
    pydantic = sys.modules.get("pydantic.main")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def _same_model(one: Any, other: Any) -> bool:
    return (
        one.model_fields_set == other.model_fields_set
        and identical(one.__dict__, other.__dict__)
        and identical(one.__pydantic_extra__, other.__pydantic_extra__)
        and identical(one.__pydantic_private__, other.__pydantic_private__)
    )
