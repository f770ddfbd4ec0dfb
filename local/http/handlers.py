"""Routes a request to one of the Lambdas' handlers, or answers it here: health, reference, console."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from tidemill_lambdas import ingest
from tidemill_lambdas.keys import Keys
from tidemill_lambdas.work import run_through
from tidemill_local.http import console
from tidemill_local.http.payload import Answer, answer_of, problem

if TYPE_CHECKING:
    from tidemill.ports import World


class Handlers:
    def __init__(self, world: World, keys: Keys) -> None:
        self._world = world
        self._keys = keys

    def answer(self, request: dict[str, Any], state: str) -> Answer:
        """Like `work`, all parts at once."""
        return run_through(self.work(request, state))

    def work(self, request: dict[str, Any], state: str) -> Generator[None, None, Answer]:
        """`state`: why no function can run yet; empty when they can. Raises StoreError."""
        path = request["rawPath"]
        if path.startswith(("/e/", "/w/")):
            # An event that came before its functions would start none of them, so it is refused.
            if state:
                return problem(503, state)
            return answer_of((yield from ingest.work(request, self._world, self._keys)))
        if state and (path == "/health" or request["requestContext"]["http"]["method"] == "POST"):
            return problem(503, state)
        if request["requestContext"]["http"]["method"] in ("GET", "HEAD") and (page := _page(path)):
            return page
        from tidemill_lambdas import api  # imported late: it takes a few milliseconds

        return answer_of((yield from api.work(request, self._world, self._keys)))


def _page(path: str) -> Answer | None:
    if path == "/docs":
        return _reference()
    found = console.file(path)
    return Answer(200, *found) if found else None


def _reference() -> Answer:
    import json

    from tidemill_lambdas.api import about
    from tidemill_local.http import reference

    return Answer(200, reference.page(json.loads(about.document())).encode(), dict(reference.headers()))
