"""The ready queue: runs to check now, one queue per function, served in turn."""

from __future__ import annotations

from collections import deque


class ReadyQueue:
    def __init__(self) -> None:
        self._queues: dict[str, deque[str]] = {}
        self._turns: deque[str] = deque()  # the functions that have a queue
        self._queued: set[str] = set()

    def __len__(self) -> int:
        return len(self._queued)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._queued

    def put(self, run_id: str, function_id: str) -> None:
        """Queue the run, unless it is queued already."""
        if run_id in self._queued:
            return
        self._queued.add(run_id)
        queue = self._queues.get(function_id)
        if queue is None:
            queue = self._queues[function_id] = deque()
            self._turns.append(function_id)
        queue.append(run_id)

    def pop(self) -> tuple[str, str]:
        """The next run and its function. Raises IndexError when there is none."""
        function_id = self._turns[0]
        queue = self._queues[function_id]
        run_id = queue.popleft()
        if queue:
            self._turns.rotate(-1)
        else:
            del self._queues[function_id]
            self._turns.popleft()
        self._queued.discard(run_id)
        return run_id, function_id
