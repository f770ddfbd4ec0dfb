"""Loads the user's code that the Lambda's environment names: an App, a plain handler with a spec, or definitions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from tidemill.app import App
from tidemill.errors import TidemillError
from tidemill.model import FunctionSpec
from tidemill.sdk.function import Function

Functions = Mapping[str, Function[Any, Any]]


class BadDeploy(TidemillError):
    """The code that is deployed cannot be loaded; one sentence says why and what to do."""


def load(environment: Mapping[str, str], context: Callable[[], Any]) -> Functions:
    """Import what TIDEMILL_APP, TIDEMILL_HANDLER or TIDEMILL_DEFINITIONS names. Raises BadDeploy."""
    if environment.get("TIDEMILL_DEFINITIONS"):
        return _defined(environment)
    app, handler = environment.get("TIDEMILL_APP"), environment.get("TIDEMILL_HANDLER")
    if app:
        found = _named("TIDEMILL_APP", app, ":", "shop:app")
        if not isinstance(found, App):
            raise BadDeploy(f"TIDEMILL_APP={app} is no App, but {type(found).__name__}; name the App: module:variable")
        return found.functions
    if not handler:
        raise BadDeploy("neither TIDEMILL_APP nor TIDEMILL_HANDLER is set; set one of them to what this Lambda runs")
    spec = _spec(environment.get("TIDEMILL_FUNCTION", ""))
    found = _named("TIDEMILL_HANDLER", handler, ".", "module.handler")
    if not callable(found):
        raise BadDeploy(f"TIDEMILL_HANDLER={handler} cannot be called; name a function: module.handler")
    from tidemill.aws.function.plain_handler import Handler, plain_function

    return {spec.id: plain_function(spec, cast("Handler", found), context)}


def _defined(environment: Mapping[str, str]) -> Functions:
    from tidemill.aws.runtimes import defined  # what apps do not need

    try:
        return defined.functions(environment)
    except (OSError, msgspec.DecodeError, KeyError, ImportError) as error:
        raise BadDeploy(
            f"TIDEMILL_DEFINITIONS={environment['TIDEMILL_DEFINITIONS']} cannot be loaded: {type(error).__name__}: "
            f"{error}; deploy it with add_definitions, which writes the file and sets what its steps need"
        ) from error


def _spec(text: str) -> FunctionSpec:
    try:
        return msgspec.json.decode(text, type=FunctionSpec)
    except msgspec.DecodeError as error:
        raise BadDeploy(
            f"TIDEMILL_FUNCTION must be the function's spec as JSON, as the manifest has it: {error}"
        ) from None


def _named(variable: str, value: str, separator: str, example: str) -> Any:
    module, found, name = value.rpartition(separator)
    if not found or not module or not name:
        raise BadDeploy(f"{variable}={value} names nothing; write it like {variable}={example}")
    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except (Exception, SystemExit) as error:
        raise BadDeploy(
            f"{variable}={value} cannot be imported: {type(error).__name__}: {error}{_place(error)}; "
            "its messages wait, and go to the dead-letter queue after some tries: deploy code that imports"
        ) from error
    try:
        return getattr(loaded, name)
    except AttributeError:
        raise BadDeploy(f"{variable}={value}: the module {module} has no {name}; write it like {example}") from None


def _place(error: BaseException) -> str:
    """The line of the user's code that raised."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and "importlib" not in file and file != __file__:
            place = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
