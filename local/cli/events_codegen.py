"""`tidemill events codegen`: types of events' data, from their schemas."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.parser import Parser, does
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill.model import EventSchema


def fill(parser: Parser) -> None:
    parser.add_argument("schemas", metavar="EVENTS", nargs="?", default="events", help="a folder, a file or ref:path")
    parser.add_argument("--lang", choices=("python", "typescript"), required=True, help="python: Pydantic models")
    parser.add_argument("-o", "--output", metavar="F", help="the file to write; none: standard output")
    does(parser, _codegen, "tidemill events codegen --lang typescript -o src/events.ts")


def _codegen(options: Namespace) -> int:
    from tidemill_local.load import schemas

    found = [one for versions in schemas.read(options.schemas).values() for one in versions.values()]
    if not found:
        raise Stop(USAGE, f"{options.schemas}: there is no schema, <event's name>/<version>.json")
    made = _python(found) if options.lang == "python" else _typescript(found)
    if options.output is None:
        sys.stdout.write(made)
        return DONE
    try:
        Path(options.output).write_text(made, "utf-8")
    except OSError as error:
        raise Stop(FAILED, f"{options.output} cannot be written: {error.strerror or error}") from None
    return DONE


def _typescript(schemas: list[EventSchema]) -> str:
    from tidemill.schemas.typescript import module

    return module(schemas)


def _python(schemas: list[EventSchema]) -> str:
    """One module: each version's model, under a name of its own, and the parts that it is made of."""
    try:
        from datamodel_code_generator import generate
        from datamodel_code_generator.enums import DataModelType, InputFileType
        from datamodel_code_generator.format import Formatter, PythonVersion
    except ModuleNotFoundError:
        raise Stop(FAILED, "--lang python needs datamodel-code-generator: pip install 'tidemill[codegen]'") from None
    import tempfile

    import msgspec

    from tidemill.schemas.typescript import identifier

    taken: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        whole: dict[str, Any] = {"$defs": {}, "type": "object", "properties": {}}
        for one in sorted(schemas):
            name = identifier(f"{one.name} v {one.v.removeprefix('v')}", taken)
            _add(whole, name, msgspec.json.decode(one.schema))
        source, target = Path(scratch) / "events.json", Path(scratch) / "events.py"
        source.write_bytes(msgspec.json.encode(whole))
        generate(
            source,
            input_file_type=InputFileType.JsonSchema,
            output=target,
            output_model_type=DataModelType.PydanticV2BaseModel,
            target_python_version=PythonVersion.PY_311,
            class_name="Events",
            disable_timestamp=True,
            formatters=[Formatter.BUILTIN],
        )
        return target.read_text("utf-8")


def _add(whole: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Take a schema in as a part of one that holds all: what it refers to is within itself, further down now."""
    from tidemill.schemas.walk import every, target

    for _, each in every(schema):
        place = target(schema, each["$ref"]) if "$ref" in each else None
        if place is not None:
            each["$ref"] = "/".join(["#/$defs", name, *map(_escaped, place)])
    for key in ("$schema", "$id"):
        schema.pop(key, None)
    whole["$defs"][name] = schema
    whole["properties"][name] = {"$ref": f"#/$defs/{name}"}


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
