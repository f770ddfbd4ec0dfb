"""A run during its execution: the folded journal, the appends of all its branches, and the ways to leave its code.

Branches that append at the same moment share one write (group commit): the first becomes the leader and writes what
has gathered, the others wait for it. They never share a sequence number.

Code is left by an exception that derives from BaseException, so that `except Exception` in a user's function does not
swallow it; and if some code does swallow it, the next step raises it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from tidemill.core.journal import Blocked, Claimed, Patched, Record, Resolved, StepDone
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
    """The execution ends here; the code runs again from the top when the run continues."""


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
        self.wrong: Exception | None = None  # why this execution must not continue
        self.say: Callable[[LogLine], object] | None = None  # who keeps what its code logs
        self.watch: Watch | None = None  # of a dry replay: it leads to no work
        self.blocked: dict[str, Blocked] = {}  # what this execution has found blocked
        self.crashes = state.crashes  # crashes to be charged to the steps that are found unfinished
        self.charged: set[str] = set()
        self.elsewhere: dict[str, Blocked] = {}  # remote attempts that no record mentions yet
        self.on_news: Callable[[], None] | None = None  # called when an outsider's record was folded in
        self.snapshot_every = SNAPSHOT_RECORDS
        self.park: Callable[[], bool] | None = None  # suspends and keeps the code; whether it can continue
        self.began = False  # an execution has begun in this process
        self.told: set[str] = set()  # steps whose outcome earlier executions in this process received
        self.told_now: set[str] = set()  # and this one
        self.cut: set[str] = set()  # branches that this execution could not begin
        self.reached: set[str] = set()  # steps that earlier executions in this process have come to
        self.called: set[str] = set()  # steps that this execution has come to
        self.given: dict[str, int] = {}  # steps whose outcome this execution's code was given, in order
        self.asked: dict[str, int] = {}  # how many those were when the code came to a wait
        self.patched: dict[str, Patched] = {}  # what this execution has answered about changes of the code
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
        """Append at the next numbers. Raises Left if the claim is lost."""
        write = _Write(list(records))
        with self._guard:
            self._queue.append(write)
            while self._writing and not write.done:  # terminates: the writer always notifies, also after an error
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
        """Seconds between two reads of outsiders' records while a step executes."""
        return NEWS_LOCAL if self.host is not None and self.host.beside_store else NEWS

    def hear_news(self) -> None:
        """Fold in outsiders' records. Raises Left if the claim is lost."""
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
        """Ask the keeper. If it does not answer, this execution cannot continue: it raises Left, and `drive` raises the
        reason.

        The error must not pass through the user's code as an `Exception`: code that catches it would continue
        with a step that is not in the journal.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                return question(*args)
            except NonRetriableError:
                raise  # the request is invalid: the user's code gets the error
            except Exception as error:
                if left and isinstance(error, Unavailable):
                    continue
                self.failure = error
                raise self.leave("superseded") from error
        raise AssertionError

    def write(self, records: list[Record], change: HeadChange | None = None) -> None:
        """Append until it succeeds, folding in outsiders' records. Raises Left if another executor or an end came
        first."""
        records = [*self._pending(), *records]
        if not records:
            return  # another branch has settled
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
        """An outsider has resolved the step first."""
        return isinstance(record, Resolved) and record.key in self.state.resolved

    def _pending(self) -> list[Record]:
        with self._guard:
            pending, self.pending = self.pending, []
        return pending

    def remember(self, record: Record) -> None:
        """Append it together with the next record."""
        with self._guard:
            self.pending.append(record)

    def settle(self) -> None:
        """Others may append from here on: what the code was answered about its changes must stand before that."""
        if any(isinstance(record, Patched) for record in self.pending):
            self.append()

    def offer(self, records: list[Record], change: HeadChange) -> bool:
        """Append once. False if outsiders wrote first: their records are folded in, so decide again.

        Or another branch is at the journal: what it finds there must be folded in once, and by itself.
        """
        self._mine()
        if not self._take():
            return False
        try:
            pending = self._pending()
            records = [*pending, *records]
            answer = self.ask(self.keeper.append, self.head, self.state.seq + 1, records, change)
            if not isinstance(answer, Lost):
                self.state.add(records)
                return True
            with self._guard:
                self.pending = [*pending, *self.pending]
            self.add(answer.found)
            return False
        finally:
            self._give_back()

    def _mine(self) -> None:
        """Raise Left once any branch has learned that the claim is lost: the next number may be free, but not for this
        executor."""
        if self.leaving == "superseded":
            raise Left

    def add(self, found: list[Record]) -> None:
        """Fold in another writer's record."""
        self.state.add(found)
        if self.state.terminal is not None or any(isinstance(record, Claimed) for record in found):
            raise self.leave("superseded")
        if self.on_news is not None:
            self.on_news()

    def give(self, key: str) -> None:
        """The code receives the outcome of this step."""
        self.given.setdefault(key, len(self.given))

    def given_before(self, key: str, wait: str) -> bool:
        """Whether the code had the outcome of this step when it came to the wait."""
        return key in self.given and self.given[key] < self.asked.get(wait, len(self.given))

    def charge(self, branch: str) -> int:
        """How many crashes are charged to the first unfinished step of this branch."""
        if self.crashes == 0 or any(branch.startswith(prefix) for prefix in self.charged):
            return 0
        if any(prefix.startswith(branch) for prefix in self.charged):
            return 0  # it was charged to a branch beneath
        self.charged.add(branch)
        return self.crashes


def _renumbered(change: HeadChange | None, state: RunState, records: list[Record]) -> HeadChange | None:
    """A change that names the number of a terminal record, at the number that the record is going to have."""
    if change is None or change.end is None:
        return change
    return msgspec.structs.replace(change, end=state.seq + len(records))
