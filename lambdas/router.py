"""Routes a call to its handler by a table of routes, and answers the errors that all calls share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tidemill.errors import JournalError, Unavailable
from tidemill.ports import World
from tidemill_lambdas.http import Payload, Refused, Request, Response, request_of
from tidemill_lambdas.keys import Keys
from tidemill_lambdas.params import parameters
from tidemill_lambdas.paths import decoded
from tidemill_lambdas.work import Work, run_through


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a route: the values of its path, the parameters of its query."""

    request: Request
    world: World
    keys: Keys
    path: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Route:
    """`template` is a path with `{names}`; one of them, `{name+}`, takes slashes too.

    `query`: the parameters that the call has; any other is refused (None: all are ignored).
    """

    method: str
    template: str
    answer: Callable[[Call], Response | Work]
    query: tuple[str, ...] | None = ()

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the names, as in the path."""
        parts = path.split("/")
        names = self.template.split("/")
        more = len(parts) - len(names)
        taking = next((n for n, name in enumerate(names) if name.endswith("+}")), None)
        if taking is not None and more > 0:
            parts[taking : taking + more + 1] = ["/".join(parts[taking : taking + more + 1])]
        if len(parts) != len(names):
            return None
        values: dict[str, str] = {}
        for name, part in zip(names, parts, strict=True):
            if name.startswith("{"):
                if not part:
                    return None
                values[name.strip("{+}")] = part
            elif name != part:
                return None
        return values


Check = Callable[[Request, Keys], None]


def dispatch(
    routes: Sequence[Route], payload: Payload, world: World, keys: Keys, check: Check | None = None
) -> Response:
    """Answer a request by its route; `check` verifies the key before an answer reveals anything about the path."""
    return run_through(work(routes, payload, world, keys, check))


def work(routes: Sequence[Route], payload: Payload, world: World, keys: Keys, check: Check | None = None) -> Work:
    """Like `dispatch`, in parts (see `work`)."""
    try:
        request = request_of(payload)
        if check is not None:
            check(request, keys)
        route, values = _find(routes, request)
        path = {name: decoded(value) for name, value in values.items()}
        query = parameters(request.query, route.query) if route.query is not None else {}
        answer = route.answer(Call(request, world, keys, path, query))
        return answer if isinstance(answer, dict) else (yield from answer)
    except Refused as refused:
        return refused.response()
    except Unavailable:
        sentence = "the store did not answer in time; send the same request again (events with the same ids)"
        return Refused(503, sentence).response()
    except JournalError as error:
        return Refused(500, str(error)).response()


def _find(routes: Sequence[Route], request: Request) -> tuple[Route, dict[str, str]]:
    method = "GET" if request.method == "HEAD" else request.method
    found = list(_at(routes, request.path))
    found = [each for each in found if each[0].template == found[0][0].template]  # the narrower ones stand first
    for route, values in found:
        if route.method == method:
            return route, values
    if not found:
        raise Refused(404, f"there is no {request.path[:200]!r} here; GET /openapi.json lists every call")
    allowed = ", ".join(sorted({route.method for route, _ in found}))
    if "GET" in allowed:
        allowed += ", HEAD"
    raise Refused(
        405, f"{request.path[:200]!r} does not take {request.method}; it takes {allowed}", headers={"allow": allowed}
    )


def _at(routes: Sequence[Route], path: str) -> Iterator[tuple[Route, dict[str, str]]]:
    """Those that say most of the path: an id that may hold slashes takes no part of it that has a route of its own."""
    found = [(route, values) for route in routes if (values := route.match(path)) is not None]
    most = max((_fixed(route) for route, _ in found), default=0)
    yield from ((route, values) for route, values in found if _fixed(route) == most)


def _fixed(route: Route) -> int:
    return sum(not part.startswith("{") for part in route.template.split("/"))
