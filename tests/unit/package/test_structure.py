"""How the layer is built: no module needs itself by way of others, and nobody takes more than six parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAYER = ROOT / "layers/tidemill/python/tidemill"

# In its own Lambda an app is the handler, and what it sends goes to the bus: both are opened when they are used.
DOORS = {
    ("tidemill.app", "tidemill.aws.function.entry"),
    ("tidemill.app", "tidemill.aws.function.app_send"),
}


def test_no_module_of_the_layer_imports_itself_by_way_of_others() -> None:
    """Imports in functions count, too. Left out: the two doors that lead up, and what only a type checker reads."""
    edges = {name: _imported(name) for name in _modules()}
    assert all(to in edges[by] for by, to in DOORS), "a door that is not used any more"
    assert _rings({by: {to for to in all_ if (by, to) not in DOORS} for by, all_ in edges.items()}) == []


def test_a_ring_is_found() -> None:
    assert _rings({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}) == [["a", "b", "c"]]


@cache
def _modules() -> dict[str, ast.Module]:
    return {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(LAYER.rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.relative_to(LAYER.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str) -> set[str]:
    found: set[str] = set()
    for node in _running(_modules()[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found.update(full if full in _modules() else node.module for full in inner.values())
    return found & _modules().keys()


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module, but for those that only a type checker reads."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield from _running(child)


def _rings(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules of which each needs every other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    rings: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1:
                rings.append(sorted(ring))

    for name in edges:
        if name not in index:
            visit(name)
    return rings


def test_only_the_engines_append_asks_the_store_to_append() -> None:
    """There alone a write that succeeded and looked failed is told from one that was lost."""
    calls = {
        name
        for name, tree in _modules().items()
        for node in ast.walk(tree)
        if name.startswith("tidemill.engine") and isinstance(node, ast.Call) and _is_append(node.func)
    }
    assert calls == {"tidemill.engine.runs.append"}


def _is_append(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and called.attr == "append" and ast.unparse(called.value).endswith("runs")


MOST = 6
# What a user writes takes its options by name; the rest of the code is given a value.
PUBLIC = {
    "layers/tidemill/python/tidemill/sdk/step.py wait_for_event",
    "layers/tidemill/python/tidemill/sdk/step_async.py wait_for_event",
    "local/testing/mill.py advance",
    "cdk/deployment.py add_app",
    "cdk/wiring.py connect",  # makes constructs, which take their properties by name
}


def test_nobody_takes_more_than_six_parameters() -> None:
    """Not counted: `self` and `cls`, and the options that a constructor takes by name."""
    many = {
        f"{path.relative_to(ROOT).as_posix()} {node.name}"
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(_parameters(node)) > MOST
    }
    assert many == PUBLIC


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("def f(a, b=1, /, c=2, *rest, d, **more): ...", 6),
        ("def f(self, a): ...", 1),
        ("def __init__(self, a, *, b, c): ...", 1),
    ],
)
def test_parameters_are_counted(written: str, count: int) -> None:
    (function,) = ast.parse(written).body
    assert isinstance(function, ast.FunctionDef)
    assert len(_parameters(function)) == count


def _sources() -> Iterator[Path]:
    for folder in ("layers", "local", "lambdas", "cdk", "examples", "bench", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            if not {"node_modules", "cdk.out"} & set(path.parts) and not any(each[0] == "." for each in path.parts[1:]):
                yield path


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    takes = function.args
    named = [*takes.posonlyargs, *takes.args, *(takes.kwonlyargs if function.name != "__init__" else [])]
    rest = [each for each in (takes.vararg, takes.kwarg) if each is not None]
    names = [each.arg for each in (*named, *rest)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names
