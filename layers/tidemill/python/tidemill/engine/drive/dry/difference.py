"""Where code and the journal of a run part: what the journal has, what the code does instead, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

Kind = Literal["missing", "order", "kind", "key", "target", "value", "raises", "unjudged"]
"""
missing   the code passed by a remembered step without reaching it, and came to its end
key       the code goes on with a step that the journal does not know, where it has another one, or the end
order     the code comes to two steps the other way round
kind      the step is of another kind
target    it invokes another function, or waits for another event or signal
value     the code returns something else than the run did
raises    the code raises an error where the run did not, or another one
unjudged  the replay did not come to an end in its time, or lacks what it needs
"""


class About(TypedDict, total=False):
    """Where the difference is (see `Difference`)."""

    step: str | None
    step_kind: str | None
    position: int | None
    place: str


@dataclass(frozen=True, slots=True)
class Difference:
    """`position`: the number of the record that first tells of the step; None: a snapshot holds it, or there is none.
    `place`: where the code stood, as file:line.
    """

    kind: Kind
    function_id: str
    run_id: str
    expected: str
    found: str
    step: str | None = None
    step_kind: str | None = None
    position: int | None = None
    place: str = ""

    @property
    def advice(self) -> str:
        return _ADVICE[self.kind]

    def __str__(self) -> str:
        at = f" at {self.place}" if self.place else ""
        record = f" (record {self.position})" if self.position is not None else ""
        has, does = f"the journal has {self.expected}{record}", f"the code {self.found}{at}"
        return f"{self.function_id}, run {self.run_id}: {has}, {does}; {self.advice}"


_DETERMINISTIC = (
    "code between steps runs again and must reach the same steps: put what it takes from the clock, from chance or "
    "from elsewhere into a step; code that has changed must keep the steps of runs that are under way "
    "(docs/concepts/determinism.md)"
)
_ADVICE: dict[Kind, str] = {
    "missing": _DETERMINISTIC,
    "key": _DETERMINISTIC,
    "order": _DETERMINISTIC,
    "kind": "give the new step an id of its own",
    "target": "give the step an id of its own where it is to wait for, or to invoke, something else",
    "value": "what the code returns must follow from its event and its steps alone",
    "raises": "what the code raises must follow from its event and its steps alone",
    "unjudged": "a loop between steps needs an end, and I/O belongs in steps",
}
