"""Checks the flow control of a declaration: each feature by itself, then all of them together.

The result is what the manifest carries: plain JSON, durations in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tidemill import limits
from tidemill.model import EventTrigger
from tidemill.sdk.flow import Batch, Concurrency, Debounce, RateLimit, Singleton, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidemill.declare.problems import Problems
    from tidemill.model import Trigger

# A batch has no single event to decide by, and no single run to skip.
_NOT_WITH_BATCH = ("debounce", "rate_limit", "singleton", "idempotency", "priority", "cancel_on")


def flow_of(options: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The features among a function's options, one key each."""
    flow: dict[str, Any] = {}
    for feature, (kind, read) in _FEATURES.items():
        given = options.get(feature)
        if given is None:
            continue
        if isinstance(given, kind):
            flow[feature] = read(given, feature, problems)
        else:
            problems.add(feature, f"must be {_written(kind)}, not {given!r}")
    return flow


def _written(kind: type | tuple[type, ...]) -> str:
    if kind is str:
        return "CEL as text"
    return f"{kind[0].__name__}(...) or a list of two" if isinstance(kind, tuple) else f"{kind.__name__}(...)"


def _with_key(plain: dict[str, Any], key: Any, where: str, problems: Problems) -> dict[str, Any]:
    if key is not None:
        plain["key"] = problems.expression(f"{where}.key", key)
    return plain


def _concurrency(given: Any, where: str, problems: Problems) -> list[dict[str, Any]]:
    if isinstance(given, Concurrency):
        return [_places(given, where, problems)]
    several = list(cast("list[Any]", given))
    if not 1 <= len(several) <= 2:
        problems.add(where, f"takes one Concurrency(...) or a list of two, not of {len(several)}")
    found: list[dict[str, Any]] = []
    for index, one in enumerate(several):
        if isinstance(one, Concurrency):
            found.append(_places(one, f"{where}[{index}]", problems))
        else:
            problems.add(f"{where}[{index}]", f"must be Concurrency(...), not {one!r}")
    what = [(one["scope"], one["counts"], one.get("key")) for one in found]
    if len(set(what)) < len(what):
        problems.add(where, "two limits count the same thing; keep the smaller one, or give them other keys")
    return found


def _places(given: Concurrency, where: str, problems: Problems) -> dict[str, Any]:
    plain = {
        "limit": problems.whole(f"{where}.limit", given.limit, 1),
        "scope": problems.choice(f"{where}.scope", given.scope, ("function", "app", "account")),
        "counts": problems.choice(f"{where}.counts", given.counts, ("steps", "runs")),
    }
    return _with_key(plain, given.key, where, problems)


def _throttle(given: Throttle, where: str, problems: Problems) -> dict[str, Any]:
    plain = {
        "limit": problems.whole(f"{where}.limit", given.limit, 1),
        "period": problems.duration(f"{where}.period", given.period),
        "burst": problems.whole(f"{where}.burst", given.burst, 1),
    }
    return _with_key(plain, given.key, where, problems)


def _rate_limit(given: RateLimit, where: str, problems: Problems) -> dict[str, Any]:
    plain = {
        "limit": problems.whole(f"{where}.limit", given.limit, 1),
        "period": problems.duration(f"{where}.period", given.period),
    }
    return _with_key(plain, given.key, where, problems)


def _debounce(given: Debounce, where: str, problems: Problems) -> dict[str, Any]:
    plain = {"period": problems.duration(f"{where}.period", given.period)}
    if given.timeout is not None:
        plain["timeout"] = problems.duration(f"{where}.timeout", given.timeout)
        if plain["timeout"] < plain["period"]:
            problems.add(where, f"timeout {given.timeout!r} ends before one period of {given.period!r} is over")
    return _with_key(plain, given.key, where, problems)


def _batch(given: Batch, where: str, problems: Problems) -> dict[str, Any]:
    plain = {
        "max_size": problems.whole(f"{where}.max_size", given.max_size, 1, limits.BATCH_EVENTS),
        "timeout": problems.duration(f"{where}.timeout", given.timeout),
    }
    return _with_key(plain, given.key, where, problems)


def _singleton(given: Singleton, where: str, problems: Problems) -> dict[str, Any]:
    plain = {"mode": problems.choice(f"{where}.mode", given.mode, ("skip", "cancel"))}
    return _with_key(plain, given.key, where, problems)


def _expression(given: str, where: str, problems: Problems) -> str:
    return problems.expression(where, given)


_FEATURES: dict[str, tuple[type | tuple[type, ...], Callable[[Any, str, Problems], Any]]] = {
    "concurrency": ((Concurrency, list, tuple), _concurrency),
    "throttle": (Throttle, _throttle),
    "rate_limit": (RateLimit, _rate_limit),
    "debounce": (Debounce, _debounce),
    "batch": (Batch, _batch),
    "priority": (str, _expression),
    "singleton": (Singleton, _singleton),
    "idempotency": (str, _expression),
}


def check_together(
    options: Mapping[str, Any], flow: Mapping[str, Any], triggers: tuple[Trigger, ...], problems: Problems
) -> None:
    """The combinations that make no sense."""
    given = {name for name, value in options.items() if value is not None and value != []}
    if "batch" in given:
        for feature in _NOT_WITH_BATCH:
            if feature in given:
                problems.add("batch", f"cannot be combined with {feature}: {_why_not(feature)}")
        _check_keys(flow, problems)
    elif "priority" in given and "throttle" in given and "concurrency" not in given:
        problems.add(
            "priority", "orders a line for places; a throttle keeps the order of arrival. Give concurrency too"
        )
    if not any(isinstance(trigger, EventTrigger) for trigger in triggers):
        for feature in ("batch", "debounce"):
            if feature in given:
                problems.add(feature, "collects events, and no event starts this function; name one in on=")


def _check_keys(flow: Mapping[str, Any], problems: Problems) -> None:
    """A batch counts once under each limit, so all of its events must have the same value of the limit's key."""
    if "batch" not in flow:
        return
    from tidemill.core.cel.tokens import tokens

    same = flow["batch"].get("key")
    keys = [("concurrency.key", one.get("key")) for one in flow.get("concurrency", ())]
    keys += [("throttle.key", flow["throttle"].get("key"))] if "throttle" in flow else []
    for where, key in keys:
        if key is not None and key != same and any(token.text == "event" for token in tokens(key)):
            problems.add(
                "batch", f"its events may differ in {where}, {key!r}; give the batch that key, or drop it there"
            )


def _why_not(feature: str) -> str:
    if feature == "debounce":
        return "one keeps every event, the other only the last"
    if feature in ("rate_limit", "singleton"):
        return "it would drop all events of a batch at once"
    return "it decides by one event, and a batch has many"
