"""The file of an exported run: what it says of itself is checked before anything is read from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from tidemill.core.bundle import FORMAT, Unpacker, digest
from tidemill.core.journal import Record
from tidemill.engine.drive.dry.journal import Recorded
from tidemill.errors import BundleError, JournalError

_DEPTH = 100  # of runs that started runs
_FIELDS = ("run", "events", "records", "blobs", "children")


@dataclass(frozen=True)
class Bundle:
    """One run of a file. `kind`: how it was started by the run that it is a child of; empty for the file's own run."""

    run: dict[str, Any]
    records: list[Record]
    recorded: Recorded
    children: list[Bundle]
    kind: str = ""
    step: str = ""
    redacted: bool = False

    @property
    def run_id(self) -> str:
        return str(self.run["run_id"])

    @property
    def function_id(self) -> str:
        return str(self.run["function_id"])

    def all(self) -> Iterator[Bundle]:
        """This run and those beneath it."""
        yield self
        for child in self.children:
            yield from child.all()


def sealed(run: dict[str, Any], redacted: bool) -> bytes:
    """The bytes of the file of a run."""
    bundle = {"format": FORMAT, "digest": "", "redacted": redacted, **run}
    bundle["digest"] = digest(bundle)
    return msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n"


def read(path: str) -> Bundle:
    """Raises BundleError with what is wrong, or OSError."""
    return parse(Path(path).read_bytes(), path)


def parse(data: bytes, name: str) -> Bundle:
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{name} is no exported run, or was cut off: {error}; export it again with `tidemill runs export`"
        ) from None
    if not isinstance(found, dict) or not isinstance(cast("dict[str, Any]", found).get("format"), int):
        raise BundleError(f"{name} is no exported run: it names no format; `tidemill runs export` writes them")
    content = cast("dict[str, Any]", found)
    if content["format"] > FORMAT:
        raise BundleError(
            f"{name} has format {content['format']}, newer than this version of Tidemill knows ({FORMAT}); "
            "replay it with the version that wrote it, or a later one"
        )
    if content.get("digest") != digest(content):
        raise BundleError(
            f"{name} is not as it was exported: its digest is of another content; export the run again rather than "
            "editing the file"
        )
    try:
        return bundle_of(content, redacted=content.get("redacted") is True)
    except (BundleError, JournalError) as error:
        raise BundleError(f"{name}: {error}") from None


def bundle_of(content: Any, whole: Recorded | None = None, *, redacted: bool = False, depth: int = _DEPTH) -> Bundle:
    """The run that a bundle, or a child in it, holds. Raises BundleError."""
    if not isinstance(content, dict) or not depth:
        raise BundleError("there is a run that is none, or that stands too deep")
    given = cast("dict[str, Any]", content)
    told, events, packed, blobs, children = (given.get(field) for field in _FIELDS)
    if not _names_itself(told) or not isinstance(events, list) or not isinstance(packed, list):
        raise BundleError("a run has no id, no function, no events or no records")
    if not isinstance(blobs, dict) or not isinstance(children, list):
        raise BundleError("a run has no blobs or no children")
    run = cast("dict[str, Any]", told)
    unpacker = Unpacker(cast("list[object]", events), cast("dict[str, Any]", blobs))
    records = unpacker.records(cast("list[object]", packed))
    kind = str(given.get("kind", ""))
    recorded = Recorded(run["run_id"], records, whole=whole if kind == "map" else None, redacted=redacted)
    below = [bundle_of(child, recorded, redacted=redacted, depth=depth - 1) for child in cast("list[object]", children)]
    return Bundle(run, records, recorded, below, kind, str(given.get("step", "")), redacted)


def _names_itself(run: Any) -> bool:
    return isinstance(run, dict) and all(isinstance(run.get(key), str) for key in ("run_id", "function_id"))  # pyright: ignore
