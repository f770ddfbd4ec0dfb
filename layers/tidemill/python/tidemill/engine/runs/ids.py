"""The ids of runs that another run starts, derived from the parent's id, so that starting one twice is harmless."""

from __future__ import annotations

from tidemill import ids


def chunk_id(run_id: str, key: str, number: int) -> str:
    """The id of a chunk of a map."""
    return ids.derived(run_id, key, "chunk", str(number))


def child_id(run_id: str, key: str) -> str:
    """The id of a run that a step invokes."""
    return ids.derived(run_id, key, "invoke")
