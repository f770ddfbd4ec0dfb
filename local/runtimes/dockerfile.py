"""Reads from a Dockerfile how to run its program: the ENTRYPOINT and the ENV of the last stage.

It parses enough of the format for that: comments, continued lines, the `escape` directive, here-documents, stages that
build on stages, and `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+instead}` in values. It skips FROM, COPY, RUN and
WORKDIR.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*([\\`])\s*$", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
_NAME = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:[-+])([^}]*))?\})|\\(\$)")
_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)


class DockerfileError(Exception):
    """Why this file cannot start a program, in one sentence."""


@dataclass(frozen=True)
class Start:
    """How to start the program: the argument follows `command`. `environment`: what the file sets."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass
class _Stage:
    entrypoint: str | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])


def start(path: Path, environment: Mapping[str, str] = os.environ) -> Start:
    """The start command of the Dockerfile at `path`, with this environment. Raises DockerfileError."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise DockerfileError("there is no Dockerfile") from None
    except (OSError, UnicodeError) as error:
        raise DockerfileError(f"its Dockerfile cannot be read: {error}") from error
    stages: dict[str, _Stage] = {}
    stage = _Stage()
    arguments: dict[str, str] = {}
    for word, rest in _instructions(text):
        known = {**environment, **arguments, **stage.environment}
        if word == "FROM":
            found = _FROM.match(rest)
            base = stages.get(found[1].lower()) if found else None
            stage = _Stage(base.entrypoint, dict(base.environment)) if base else _Stage()
            stages[str(len({id(each) for each in stages.values()}))] = stage
            if found and found[2]:
                stages[found[2].lower()] = stage
        elif word == "ENV":
            stage.environment.update(_pairs(rest, known))
        elif word == "ARG":
            arguments.update((name, value) for name, value in _pairs(rest, known).items() if "=" in rest)
        elif word == "ENTRYPOINT":
            stage.entrypoint = rest
    return Start(_command(stage.entrypoint), stage.environment)


def _command(entrypoint: str | None) -> tuple[str, ...]:
    if entrypoint is None:
        raise DockerfileError(
            'its Dockerfile has no ENTRYPOINT, which the input is given to: add one, as in ENTRYPOINT ["./run.sh"]'
        )
    try:
        words = json.loads(entrypoint)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in cast("list[object]", words)):
        raise DockerfileError(
            "the ENTRYPOINT of its Dockerfile is in the shell form, which takes no argument: write it as a JSON list, "
            'as in ENTRYPOINT ["./run.sh"]'
        )
    if not words:
        raise DockerfileError("the ENTRYPOINT of its Dockerfile is an empty list, which starts nothing")
    return tuple(cast("list[str]", words))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction in capitals, with the rest of its (joined) line."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape = "\\"
    for line in lines:  # directives come first
        if not line.lstrip().startswith("#"):
            break
        found = _DIRECTIVE.match(line.strip())
        escape = found[1] if found else escape
    rest = iter(lines)
    for line in rest:
        joined = line.strip()
        if not joined or joined.startswith("#"):
            continue
        while joined.endswith(escape):
            joined = joined[:-1]
            more = next(rest, None)
            while more is not None and (not more.strip() or more.lstrip().startswith("#")):
                more = next(rest, None)
            if more is None:
                break
            joined += more.strip() if joined.endswith((" ", "\t")) else f" {more.strip()}"
        word, _, told = joined.partition(" ")
        word = word.upper()
        if word in ("RUN", "COPY", "ADD"):
            for _, end in _HEREDOC.findall(told):
                for inner in rest:
                    if inner.strip() == end:
                        break
        yield word, told.strip()


def _pairs(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """`A=1 B="two words"`, or the old `A one value`."""
    name, blank, value = text.partition(" ")
    if "=" not in name and blank:
        return {name: _filled(value.strip(), known)}
    try:
        words = shlex.split(_filled(text, known))
    except ValueError as error:
        raise DockerfileError(f"its Dockerfile has a line that cannot be read ({text!r}): {error}") from error
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _filled(text: str, known: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        plain, braced, how, other, literal = found.groups()
        if literal:
            return "$"
        name = plain or braced
        if how == ":+":
            return str(other) if known.get(name) else ""
        return known.get(name) or (str(other) if how == ":-" else "")

    return _NAME.sub(value, text)
