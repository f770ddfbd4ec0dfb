"""A run during its execution: the folded journal, the appends of all its branches, and the ways to leave its code.

Branches that append at the same moment share one write (group commit): the first becomes the leader and writes what
has gathered, the others wait for it. They never share a sequence number.

Code is left by an exception that derives from BaseException, so that `except Exception` in a user's function does not
swallow it; and where one does swallow it, the next step raises it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from tidemill.core.journal import Blocked, Claimed, Record, Resolved, StepDone
from tidemill.core.state import RunState
from tidemill.errors import NonRetriableError, Unavailable
from tidemill.limits import NEWS, NEWS_LOCAL, SNAPSHOT_RECORDS
from tidemill.model import FunctionSpec, Head, HeadChange
from tidemill.ports import Clock, Entropy, Keeper, Lost
from tidemill.run_logs import LogLine

if TYPE_CHECKING:
    from tidemill.engine.drive.host import Host
    from tidemill.engine.drive.replayed import Watch

T = TypeVar("T")
_LOST = 1_000  # appends in a row that others were faster than
_TRIES = 3  # of a question that the keeper did not answer

Leaving = Literal["suspended", "handed over", "superseded"]


class Left(BaseException):
    """The code of this run is left here, and will be run again from the top when the run goes on."""


class AttemptTimeout(Exception):
    """One attempt of a step took longer than its timeout."""


def never() -> bool:
    return False


@dataclass(slots=True)
class _Write:
    records: list[Record]
    done: bool = False
    error: BaseException | None = None


class LiveRun:
    """One run, driven by one executor under one claim."""

    def __init__(
        self,
        head: Head,
        spec: FunctionSpec,
        state: RunState,
        keeper: Keeper,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.head = head
        self.spec = spec
        self.state = state
        self.keeper = keeper
        self.clock = clock
        self.entropy = entropy
        self.stopping: Callable[[], bool] = never
        self.stubs: Mapping[str, Callable[..., Any]] = {}
        self.leaving: Leaving | None = None
        self.failure: Exception | None = None  # why the keeper did not answer
        self.wrong: Exception | None = None  # why this code must not go on with its run
        self.say: Callable[[LogLine], object] | None = None  # who keeps what its code logs
        self.watch: Watch | None = None  # of a dry replay: it leads to no work
        self.blocked: dict[str, Blocked] = {}  # what this execution has found blocked
        self.crashes = state.crashes  # crashes to be charged to the steps that are found unfinished
        self.charged: set[str] = set()
        self.elsewhere: dict[str, Blocked] = {}  # attempts that it has handed over, and that no record tells of yet
        self.on_news: Callable[[], None] | None = None  # called when an outsider's record was folded in
        self.snapshot_every = SNAPSHOT_RECORDS
        self.park: Callable[[], bool] | None = None  # suspend, and keep the code; whether it can go on
        self.began = False  # an execution has begun in this process
        self.told: set[str] = set()  # steps whose outcome earlier executions in this process were told
        self.told_now: set[str] = set()  # and this one
        self.cut: set[str] = set()  # branches that this execution could not begin
        self.reached: set[str] = set()  # steps that earlier executions in this process have come to
        self.called: set[str] = set()  # steps that this execution has come to
        self.given: dict[str, int] = {}  # steps whose outcome this execution's code was given, in order
        self.asked: dict[str, int] = {}  # how many those were when the code came to a wait
        self.pending: list[Record] = []  # to be appended before the next record
        self.host: Host | None = None  # where this executor has a process to itself
        self.weight = 0  # bytes of values that this executor has appended
        self.restored = 0  # bytes of the last snapshot
        self._guard = threading.Condition()
        self._queue: list[_Write] = []
        self._writing = False

    def check(self) -> None:
        """Raise Left if this execution is over."""
        if self.leaving is not None:
            raise Left

    def leave(self, how: Leaving) -> Left:
        if self.leaving is None or how == "superseded":
            self.leaving = how
        return Left()

    def append(self, *records: Record) -> None:
        """Append at the next numbers. Raises Left if the run is not ours any more."""
        write = _Write(list(records))
        with self._guard:
            self._queue.append(write)
            while self._writing and not write.done:  # ends: who writes always tells, whatever comes of it
                self._guard.wait()
            if write.done:
                if write.error is not None:
                    raise write.error
                return
            self._writing = True
            batch, self._queue = self._queue, []
        error: BaseException | None = None
        try:
            self.write([record for each in batch for record in each.records])
        except BaseException as caught:
            error = caught
        with self._guard:
            for each in batch:
                each.done, each.error = True, error
            self._writing = False
            self._guard.notify_all()
        if error is not None:
            raise error

    @property
    def news_every(self) -> float:
        """Seconds between two looks for what outsiders have told the run while a step is at work."""
        return NEWS_LOCAL if self.host is not None and self.host.beside_store else NEWS

    def hear_news(self) -> None:
        """Fold in what outsiders have told the run. Raises Left if it is not ours any more."""
        if not self._take():
            return  # the writing branch will read it
        try:
            found = self.ask(self.keeper.journal, self.head.run_id, self.state.seq)
            if found:
                self.add(found)
        finally:
            self._give_back()

    def _take(self) -> bool:
        """Be the one that reads or writes the journal. False: another branch is, and its records are not folded yet."""
        with self._guard:
            taken = not self._writing
            self._writing = True
        return taken

    def _give_back(self) -> None:
        with self._guard:
            self._writing = False
            self._guard.notify_all()

    def ask(self, question: Callable[..., T], *args: Any) -> T:
        """Ask the keeper. If it does not answer, this executor is as good as dead: Left, and `drive` raises why.

        The error must not pass through the user's code as an `Exception`: code that catches it would go on with a step
        that nobody remembers.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                return question(*args)
            except NonRetriableError:
                raise  # what was asked makes no sense: that is the code's to know
            except Exception as error:
                if left and isinstance(error, Unavailable):
                    continue
                self.failure = error
                raise self.leave("superseded") from error
        raise AssertionError

    def write(self, records: list[Record], change: HeadChange | None = None) -> None:
        """Append until it holds: fold in what outsiders wrote first. Raises Left if another executor or an end did."""
        records = [*self._pending(), *records]
        for _ in range(_LOST):  # bounded: each turn but the first has found records of others
            self._mine()
            numbered = _renumbered(change, self.state, records)
            answer = self.ask(self.keeper.append, self.head, self.state.seq + 1, records, numbered)
            if not isinstance(answer, Lost):
                self.state.add(records)
                self.weight += sum(len(record.value or b"") for record in records if isinstance(record, StepDone))
                return
            self.add(answer.found)
            records = [record for record in records if not self._told_already(record)]
            if not records:
                return
        self.failure = Unavailable(
            f"run {self.head.run_id}: others appended {_LOST} times in a row before a step's end"
        )
        raise self.leave("superseded")

    def _told_already(self, record: Record) -> bool:
        """An outsider was first to tell what a step waited for."""
        return isinstance(record, Resolved) and record.key in self.state.resolved

    def _pending(self) -> list[Record]:
        pending, self.pending = self.pending, []
        return pending

    def offer(self, records: list[Record], change: HeadChange) -> bool:
        """Append once. False if outsiders wrote first: what they wrote is folded in, so look again.

        Or another branch is at the journal: what it finds there must be folded in once, and by itself.
        """
        self._mine()
        if not self._take():
            return False
        try:
            records = [*self._pending(), *records]
            answer = self.ask(self.keeper.append, self.head, self.state.seq + 1, records, change)
            if not isinstance(answer, Lost):
                self.state.add(records)
                return True
            self.add(answer.found)
            return False
        finally:
            self._give_back()

    def _mine(self) -> None:
        """Raise Left once any branch has learned that the run is not ours: the next number is free, but not for us."""
        if self.leaving == "superseded":
            raise Left

    def add(self, found: list[Record]) -> None:
        """Fold in what somebody else wrote."""
        self.state.add(found)
        if self.state.terminal is not None or any(isinstance(record, Claimed) for record in found):
            raise self.leave("superseded")
        if self.on_news is not None:
            self.on_news()

    def give(self, key: str) -> None:
        """The code is given the outcome of this step."""
        self.given.setdefault(key, len(self.given))

    def given_before(self, key: str, wait: str) -> bool:
        """Whether the code had the outcome of this step when it came to the wait."""
        return key in self.given and self.given[key] < self.asked.get(wait, len(self.given))

    def charge(self, branch: str) -> int:
        """How many crashes the first unfinished step of this branch answers for."""
        if self.crashes == 0 or any(branch.startswith(prefix) for prefix in self.charged):
            return 0
        if any(prefix.startswith(branch) for prefix in self.charged):
            return 0  # a branch beneath has answered for it
        self.charged.add(branch)
        return self.crashes


def _renumbered(change: HeadChange | None, state: RunState, records: list[Record]) -> HeadChange | None:
    """A change that names the number of a terminal record, at the number that the record is going to have."""
    if change is None or change.end is None:
        return change
    return msgspec.structs.replace(change, end=state.seq + len(records))
