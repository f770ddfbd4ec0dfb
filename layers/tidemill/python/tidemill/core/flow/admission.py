"""What is asked when a run is admitted, as far as its function and its event tell: keys, places, limits.

`engine/intake/admit.py` asks the store with these, in its order.
"""

from __future__ import annotations

from tidemill.core import expression, match
from tidemill.core.flow import concurrency as places
from tidemill.core.flow import keys, throttle
from tidemill.core.flow.throttle import Limit
from tidemill.model import Admission, Event, FunctionSpec, Head, Place, event_fields

_AT_BIRTH = ("idempotency", "rate_limit", "singleton", "throttle")
_ELSE = (*_AT_BIRTH, "debounce", "batch")


def decided_at_birth(spec: FunctionSpec) -> bool:
    """Whether anything is decided on a run of this function as soon as it exists."""
    return any(feature in spec.flow for feature in _AT_BIRTH)


def known_at_birth(spec: FunctionSpec, event: Event, head: Head) -> Admission | None:
    """The decision on a run that begins at once, where it needs nothing but places: it is written with the creation."""
    if "concurrency" not in spec.flow or head.not_before is not None or any(each in spec.flow for each in _ELSE):
        return None
    return Admission(places.rank(spec, event, head.created_at), places.places(spec, event))


def is_part(head: Head) -> bool:
    """Whether the run is a part of a map."""
    return head.parent is not None and head.parent.chunk is not None


def idempotency_key(spec: FunctionSpec, event: Event | None) -> keys.Key | None:
    """None where the key has no value, or null: such runs are all different."""
    written = spec.flow.get("idempotency")
    if written is None or event is None:
        return None
    value = expression.compile(written).value({"event": event_fields(event)})
    if value is None or value is match.MISSING:
        return None
    return keys.key(keys.family("idempotency", spec.id), written, event)


def rate_key(spec: FunctionSpec, event: Event | None) -> keys.Key:
    return keys.key(keys.family("rate", spec.id), spec.flow["rate_limit"].get("key"), event)


def singleton_place(spec: FunctionSpec, event: Event | None) -> Place | None:
    """The one place that the run holds from its creation to its end."""
    declared = spec.flow.get("singleton")
    if declared is None:
        return None
    key = keys.key(keys.family("singleton", spec.id), declared.get("key"), event)
    return Place(key.text, 1, "runs", key.label)


def throttle_limit(spec: FunctionSpec) -> Limit | None:
    declared = spec.flow.get("throttle")
    return None if declared is None else Limit(declared["limit"], declared["period"], declared["burst"])


def throttle_key(spec: FunctionSpec, event: Event | None) -> str:
    """Empty where there is no throttle. What is stored under it is counted in its limit and period."""
    declared = spec.flow.get("throttle")
    if declared is None:
        return ""
    family = keys.family("throttle", spec.id, str(declared["limit"]), str(declared["period"]))
    return keys.key(family, declared.get("key"), event).text


def turn_reason(spec: FunctionSpec | None) -> str:
    """Why a run waits for its turn, for people."""
    declared = throttle_limit(spec) if spec is not None else None
    return "waits for its turn" if declared is None else throttle.reason(declared.limit, declared.period, "")


def held_keys(spec: FunctionSpec, event: Event) -> set[str]:
    """The keys of all that a run with this event as its last holds."""
    asked = (*places.places(spec, event), singleton_place(spec, event))
    return {place.key for place in asked if place is not None}
