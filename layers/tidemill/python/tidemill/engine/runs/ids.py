"""The ids of runs that another run begins: each derives from its parent's id, so that beginning it twice is once."""

from __future__ import annotations

from tidemill import ids


def chunk_id(run_id: str, key: str, number: int) -> str:
    """The id of a part of a map."""
    return ids.derived(run_id, key, "chunk", str(number))


def child_id(run_id: str, key: str) -> str:
    """The id of a run that a step invokes."""
    return ids.derived(run_id, key, "invoke")
