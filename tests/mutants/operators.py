"""Subtle mistakes: every place of a function where one can be made, and the source with it.

Each is what a tired author writes: a comparison that is off by its bound, a condition turned round, a call forgotten,
a count off by one. Text that only people read (messages, docstrings, annotations, asserts) is left alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.FloorDiv: ast.Mult}
_NAMED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_QUIET = {"debug", "info", "warning", "trouble", "say", "once", "explain"}  # what is said changes nothing


@dataclass(frozen=True)
class Mutant:
    """One mistake: `begin` and `end` are the bytes of the source that `after` replaces."""

    path: str
    function: str
    line: int
    text: str  # the line, as it stands
    before: str
    after: str
    begin: int
    end: int

    @property
    def name(self) -> str:
        """What it is known by, wherever the line moves."""
        return f"{self.path}::{self.function} | {self.text} | {self.before} -> {self.after}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.begin] + self.after.encode() + source[self.end :]


def mutants(root: Path, path: str) -> list[Mutant]:
    """All mistakes that can be made in the functions of this file."""
    source = (root / path).read_bytes()
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found: list[Mutant] = []
    for function, node, changed in _places(ast.parse(source)):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before, after = source[begin:end].decode(), ast.unparse(changed)
        if isinstance(changed, ast.expr) and not isinstance(changed, (ast.Name, ast.Constant, ast.Call)):
            after = f"({after})"
        text = lines[node.lineno - 1].decode().strip()
        found.append(Mutant(path, function, node.lineno, text, before, after, begin, end))
    return found


def _places(tree: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, ast.AST]]:
    """Each function's places, with what may stand there instead."""
    yield from _inside(tree, "", False)


def _inside(node: ast.AST, name: str, within: bool) -> Iterator[tuple[str, ast.expr | ast.stmt, ast.AST]]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        name, within = f"{name}.{node.name}".lstrip("."), True
        for part in node.body:
            yield from _inside(part, name, within)
        return
    if isinstance(node, ast.ClassDef):
        name = f"{name}.{node.name}".lstrip(".")
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)) or _is_text(node):
        return
    if within and isinstance(node, (ast.expr, ast.stmt)):
        for changed in _changes(node):
            yield name, node, changed
    for child in _parts(node):
        yield from _inside(child, name, within)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What is run of it: annotations and types are not."""
    skipped = {"annotation", "returns", "decorator_list"}
    is_cast = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast"
    for field, value in ast.iter_fields(node):
        if field in skipped or (field == "slice" and isinstance(value, ast.Slice)):
            continue
        parts = value if isinstance(value, list) else [value]
        yield from (part for part in parts[is_cast and field == "args" :] if isinstance(part, ast.AST))


def _changes(node: ast.expr | ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        yield _with(node, "ops", [_COMPARED[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.BoolOp):
        yield _with(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        yield node.values[0] if len(node.values) == 2 else _with(node, "values", node.values[:-1])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED and not _is_string(node):
        yield _with(node, "op", _COUNTED[type(node.op)]())
    elif isinstance(node, ast.Constant):
        yield from _other(node)
    elif isinstance(node, ast.IfExp):
        yield _with(_with(node, "body", node.orelse), "orelse", node.body)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMED:
        yield _with(node, "func", ast.Name(_NAMED[node.func.id]))
    elif (isinstance(node, ast.Expr) and _acts(node.value)) or isinstance(node, (ast.Continue, ast.Break)):
        yield ast.Pass()
    elif isinstance(node, ast.AugAssign) and type(node.op) in _COUNTED:
        yield _with(node, "op", _COUNTED[type(node.op)]())


def _other(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)


def _acts(value: ast.expr) -> bool:
    """A call whose result nobody takes, and which does more than to say something."""
    if not isinstance(value, ast.Call):
        return False
    return not (isinstance(value.func, ast.Attribute) and value.func.attr in _QUIET)


def _is_string(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str) for side in sides)


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    other = copy.copy(node)
    setattr(other, field, value)
    return other
