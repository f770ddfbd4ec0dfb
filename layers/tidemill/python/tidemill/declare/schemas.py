"""Schemas of events as they are declared: in the files of a folder, or by a Pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tidemill.declare.problems import Problems
from tidemill.errors import DeclarationError
from tidemill.limits import SCHEMA_VERSIONS
from tidemill.model import EventSchema
from tidemill.schemas.refuse import name_problem, problems

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydantic import BaseModel

ENDING = ".json"
_LOOKAROUND = "(?!^[-+.]*$)"  # stands in the pattern that Pydantic writes for a Decimal, and asks for a character


class Found(NamedTuple):
    """A schema and where it is declared."""

    schema: EventSchema
    where: str


def of_value(name: str, version: str, value: object, where: str) -> Found:
    """The schema of an event's version. Raises DeclarationError with every problem."""
    wrong = name_problem(name, version)
    found = [wrong] if wrong is not None else problems(value)
    if found:
        raise DeclarationError(where, found)
    return Found(EventSchema(name, version, msgspec.json.encode(value, order="sorted").decode()), where)


def of_model(name: str, version: str, model: type[BaseModel]) -> Found:
    """The schema that Pydantic writes for the model. Raises DeclarationError."""
    where = f"app.event({name!r}, {getattr(model, '__name__', model)}, v={version!r})"
    if not hasattr(model, "model_json_schema"):
        raise DeclarationError(where, [f"{model!r} is not a Pydantic model"])
    try:
        schema = model.model_json_schema()
    except Exception as error:  # of Pydantic, for a type that JSON has no word for
        raise DeclarationError(where, [f"Pydantic writes no JSON Schema for this model: {error}"]) from None
    text = msgspec.json.encode(schema).decode().replace(_LOOKAROUND, "")
    return of_value(name, version, msgspec.json.decode(text), where)


def of_folder(folder: Path) -> list[Found]:
    """The schemas of the files `<name>/<version>.json`. Raises DeclarationError with every problem of every file."""
    found: list[Found] = []
    wrong: list[str] = []
    for file in sorted(folder.rglob(f"*{ENDING}")):
        if not any(part.startswith(".") for part in file.relative_to(folder).parts):
            try:
                found.append(_of_file(folder, file))
            except DeclarationError as error:
                wrong += [f"{file.relative_to(folder)}: {problem}" for problem in error.problems]
    if wrong:
        raise DeclarationError(str(folder), wrong)
    return found


def of_file(file: Path, name: str) -> Found:
    """The schema in one file, of this event; its version is the file's name."""
    noted = Problems()
    value = _read(file, noted)
    if noted.found:
        raise DeclarationError(str(file), noted.found)
    return of_value(name, file.name.removesuffix(ENDING), value, str(file))


def one_of_each(found: Iterable[Found]) -> list[EventSchema]:
    """Each schema once, sorted. Raises DeclarationError where one version of an event is declared in two ways."""
    known: dict[tuple[str, str], Found] = {}
    versions: dict[str, set[str]] = {}
    wrong: list[str] = []
    for each in found:
        name, v, _ = msgspec.structs.astuple(each.schema)
        versions.setdefault(name, set()).add(v)
        other = known.setdefault((name, v), each)
        if other.schema != each.schema:
            wrong.append(
                f"the event {name!r} has two schemas for version {v!r}, by {other.where} and by {each.where};"
                " give one of them a version of its own"
            )
    many = [name for name, these in versions.items() if len(these) > SCHEMA_VERSIONS]
    wrong += [f"the event {name!r} has more than {SCHEMA_VERSIONS} versions; remove the oldest" for name in many]
    if wrong:
        raise DeclarationError("the schemas of events", wrong)
    return sorted(each.schema for each in known.values())


def _of_file(folder: Path, file: Path) -> Found:
    parts = file.relative_to(folder).parts
    if len(parts) < 2:
        where = f"lies directly in {folder.name}/; a schema is <event's name>/<version>.json"
        raise DeclarationError(str(file), [where])
    return of_file(file, "/".join(parts[:-1]))


def _read(file: Path, noted: Problems) -> Any:
    from tidemill.definitions import strict_json

    try:
        return strict_json.read(file.read_bytes(), noted)
    except OSError as error:
        noted.add(str(file), f"cannot be read: {error.strerror or error}")
        return None
