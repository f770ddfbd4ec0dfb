"""The optional packages that some steps need, and the commands that install them."""

from __future__ import annotations

from importlib.util import find_spec

_MODULES = {"wasm": "wasmtime", "lambda": "awslambdaric"}


def absent(kind: str) -> str | None:
    """Why steps of this kind cannot run here, and what to do; None if nothing is missing."""
    module = _MODULES.get(kind)
    if module is None or find_spec(module) is not None:
        return None
    only = ", only for Linux" if kind == "lambda" else ""
    return f"a {kind} step needs {module}{only}, which is not installed: pip install 'tidemill[{kind}]'"
