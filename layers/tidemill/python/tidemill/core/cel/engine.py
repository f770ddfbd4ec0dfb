"""Loads the CEL engine for the first expression that needs it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
from functools import cache, lru_cache
from typing import Any

_LOADING = threading.Lock()


@cache
def engine() -> Any:
    """The engine's compiled module without its package, which would also import a command line (700 ms)."""
    name = "cel.cel"  # known by this name, so that an `import cel` elsewhere finds the same module
    with _LOADING:
        if name not in sys.modules:
            package = importlib.util.find_spec("cel")
            folders = package.submodule_search_locations if package else None
            spec = importlib.machinery.PathFinder.find_spec(name, folders)
            if spec is None or spec.loader is None:
                raise ImportError("the CEL engine is not installed: pip install common-expression-language")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[name] = module
        return sys.modules[name]


def executed(program: Any, given: Any) -> Any:
    """The value of a compiled program, or the error that it raised."""
    try:
        return program.execute(given)
    except Exception as error:
        return error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the engine's own bugs: they are not an Exception
            return error
        raise


@lru_cache(maxsize=256)
def program(text: str) -> Any:
    """Raises ValueError if the text is not CEL."""
    return engine().compile(text)
