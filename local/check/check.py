"""Chooses the runs to check, and reports the findings."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tidemill_local.bundles import collect
from tidemill_local.check.pair import Pair
from tidemill_local.cli.http import Refusal, part

if TYPE_CHECKING:
    from tidemill_local.cli.http import Api

_OPEN = ("running", "sleeping", "waiting", "scheduled")
_ENDED = ("completed", "failed", "cancelled")
_ALL = 2**31
_GROUP = 64  # runs on their way at a time
_GONE = 404


class Finding(NamedTuple):
    """`open`: the run is to go on with this code. `place`: where the code stood."""

    function_id: str
    run_id: str
    step: str | None
    kind: str
    expected: str
    found: str
    place: str
    open: bool


class Check:
    """`runs`, `open`: how many were replayed so far, and how many of these have not ended. `changes`: by the id of
    each `ctx.patched` that was asked, whether an open run goes the old way there.
    """

    def __init__(self, server: Api, pair: Pair, last: int) -> None:
        self.runs = 0
        self.open = 0
        self.changes: dict[str, bool] = {}
        self._server = server
        self._pair = pair
        self._last = last

    def findings(self) -> Iterator[Finding]:
        asked = itertools.chain(((run, True) for run in self._opened()), ((run, False) for run in self._ended()))
        while group := list(itertools.islice(asked, _GROUP)):
            sent = [each for each in group if self._send(each[0]["run_id"])]
            for (run, is_open), answers in zip(sent, self._pair.answers(len(sent)), strict=True):
                self.runs += 1
                self.open += is_open
                for id, new in answers[0].get("patched", {}).items():
                    self.changes[id] = self.changes.get(id, False) or (is_open and not new)
                found = _found(run, *answers)
                if found is not None:
                    yield Finding(**found, open=is_open)

    def _opened(self) -> Iterator[dict[str, Any]]:
        for status in _OPEN:
            yield from self._server.pages("/v1/runs", _ALL, status=status)

    def _ended(self) -> Iterator[dict[str, Any]]:
        """The newest of all kinds of end together."""
        lists = [self._server.pages("/v1/runs", self._last, status=status) for status in _ENDED]
        newest = heapq.merge(*lists, key=lambda run: (run["created_at"], run["run_id"]), reverse=True)
        return itertools.islice(newest, self._last)

    def _send(self, run_id: str) -> bool:
        """Send the run, with the parts of its maps. False: it has expired meanwhile."""
        try:
            run = collect.pages_of(self._server, f"/v1/runs/{part(run_id)}")
            parts = [child for child in run["children"] if child["kind"] == "map"]
            run["children"] = [self._part(child) for child in parts]
        except Refusal as refusal:
            if refusal.status != _GONE:
                raise
            return False
        self._pair.send(msgspec.json.encode(run) + b"\n")
        return True

    def _part(self, child: dict[str, Any]) -> dict[str, Any]:
        found = collect.pages_of(self._server, f"/v1/runs/{part(child['run_id'])}")
        return {**child, **found, "children": []}


def _found(run: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any] | None:
    """What both seeds find; what they find differently is a finding of its own."""
    if first == second:
        finding: dict[str, Any] | None = first["finding"]
        return finding
    one, other = _said(first), _said(second)
    about = {"function_id": run["function_id"], "run_id": run["run_id"], "kind": "nondeterministic"}
    either: dict[str, Any] = first["finding"] or second["finding"] or {}
    told = {"step": either.get("step"), "place": either.get("place", "")}
    return {**about, **told, "expected": one, "found": other if other != one else "takes another way the second time"}


def _said(answer: dict[str, Any]) -> str:
    finding = answer["finding"]
    if finding is None:
        return f"no difference, after {sum(count for count, _ in answer['reached'])} steps"
    return f"{finding['expected']}: {finding['found']}"
