"""Every journal that faults have made, replayed dry: code that is deterministic shows no difference, at any record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulation.view import View, is_part

from tidemill.core.journal import Record
from tidemill.engine.drive.dry.journal import Recorded
from tidemill.engine.drive.dry.replay import replay
from tidemill.model import Head

_PREFIXES = 4  # of a journal, beside all of it


def replays_agree_dry(view: View) -> Iterator[str]:
    """A dry replay of a run, whole or as far as it was at some record, shows no difference."""
    for head in view.heads:
        function = view.system.app.functions.get(head.function_id)
        if function is None:
            continue
        for recorded in _at_some_records(view, head, view.journals[head.run_id]):
            difference = replay(function, recorded).difference
            if difference is not None:
                yield f"replayed dry up to record {len(recorded.records) - 1}: {difference}"


def _at_some_records(view: View, head: Head, records: Sequence[Record]) -> Iterator[Recorded]:
    whole = None
    if is_part(head) and head.parent is not None:
        whole = Recorded(head.parent.run_id, view.journals[head.parent.run_id])
    step = max(1, len(records) // _PREFIXES)
    for end in {*range(step, len(records), step), len(records)}:
        yield Recorded(head.run_id, records[:end], whole=whole)
