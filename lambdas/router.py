"""Which function answers which call: a table of routes, and the errors that every call shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from tidemill.errors import JournalError, Unavailable
from tidemill.ports import World
from tidemill_lambdas.http import Payload, Refused, Request, Response, request_of
from tidemill_lambdas.keys import Keys
from tidemill_lambdas.params import parameters


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
    """`template` is a path with `{names}`; `{name+}` takes the rest, slashes included.

    `query`: the parameters that the call has; any other is refused (None: whatever comes is left unread).
    """

    method: str
    template: str
    answer: Callable[[Call], Response]
    query: tuple[str, ...] | None = ()

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the names, still percent-encoded."""
        parts = path.split("/")
        names = self.template.split("/")
        if names[-1].endswith("+}") and len(parts) >= len(names):
            parts = [*parts[: len(names) - 1], "/".join(parts[len(names) - 1 :])]
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
    """Answer a request by its route; `check` looks at its key before anything is said about its path."""
    try:
        request = request_of(payload)
        if check is not None:
            check(request, keys)
        route, values = _find(routes, request)
        path = {name: _decoded(value) for name, value in values.items()}
        query = parameters(request.query, route.query) if route.query is not None else {}
        return route.answer(Call(request, world, keys, path, query))
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
    for route in routes:
        values = route.match(path)
        if values is not None:
            yield route, values


def _decoded(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeError:
        raise Refused(
            400, f"{part[:200]!r} in the path is not UTF-8, percent-encoded; encode the id and try again"
        ) from None
