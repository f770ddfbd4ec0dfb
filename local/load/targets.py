"""Loads the apps of the TARGETs that a user names on the command line.

A TARGET is `module:app`, a `.py` file, or a folder: the `.py` files directly in it that define an App, and its
`*.function.json`. The definitions of all targets are one app. A module is imported under the name by which the rest of
the user's code would import it (its package's parent, or its folder, goes on the path), so that naming a file and
importing it elsewhere is one module, executed once.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from tidemill_local.console.terminal import clean
from tidemill_local.load import events, webhook_secrets

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.model import EventSchema, WebhookSpec
    from tidemill.sdk.function import Function

_DEFINITION = ".function.json"
_KINDS = "a TARGET is module:app, a .py file, or a folder"

Loading = Callable[[str], None]  # called for each target, and each file of a folder, before its import


class TargetError(Exception):
    """A TARGET that cannot be loaded; the message is for people, and may have several lines."""


class NoTargetError(TargetError):
    """A TARGET that does not exist: no such file, folder or module."""


@dataclass
class Targets:
    """The loaded apps. `files`: the files of definitions, with their steps' programs; `places`: the folders and modules
    of these programs."""

    apps: list[App] = field(default_factory=list["App"])
    notes: list[str] = field(default_factory=list[str])
    files: list[str] = field(default_factory=list[str])
    places: list[str] = field(default_factory=list[str])
    schemas: list[EventSchema] = field(default_factory=list["EventSchema"])

    def functions(self) -> dict[str, Function[Any, Any]]:
        """All functions by id. Raises TargetError for a duplicate name of an app, or limits that differ."""
        from tidemill.core.flow import shared

        problems: list[str] = []
        names: set[str] = set()
        functions: dict[str, Function[Any, Any]] = {}
        for app in self.apps:
            if app.name in names:
                problems.append(f"two apps are named {app.name!r}; give each app of a server a name of its own")
            names.add(app.name)
            functions.update(app.functions)  # their ids begin with the app's name; a definition's has no dot
        problems += [clash for _, clash in shared.clashes(function.spec for function in functions.values())]
        if problems:
            raise TargetError("\n".join(problems))
        return functions

    def webhooks(self) -> list[WebhookSpec]:
        """All webhooks. Raises TargetError for a name that two apps declare."""
        found: dict[str, tuple[App, WebhookSpec]] = {}
        for app in self.apps:
            for webhook in app.webhooks.values():
                other, _ = found.setdefault(webhook.name, (app, webhook))
                if other is not app:
                    raise TargetError(
                        f"the apps {other.name!r} and {app.name!r} both declare a webhook {webhook.name!r}; "
                        "give one of them another name"
                    )
        return [webhook for _, webhook in found.values()]

    def secrets(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What the variables hold that webhooks name. Raises TargetError where one holds no secret."""
        problems: list[str] = []
        for webhook in self.webhooks():
            problem = webhook_secrets.problem(webhook, environment.get(webhook.secret, ""))
            problems += [problem] if problem is not None else []
        if problems:
            raise TargetError("\n".join(problems))
        return {webhook.secret: environment[webhook.secret] for webhook in self.webhooks()}


def load(targets: tuple[str, ...], cwd: Path, *, programs: bool = False, loading: Loading = lambda _: None) -> Targets:
    """Import the targets. Raises TargetError, DefinitionsError, or the user's own errors.

    `programs`: the steps of definitions can run, which reading declarations and tests do not need.
    """
    if str(cwd) not in sys.path:
        sys.path.insert(0, str(cwd))
    loaded = Targets()
    definitions: list[Path] = []
    for target in targets or configured(cwd):
        for app in _apps(target, cwd, definitions, loading):
            if not any(app is other for other in loaded.apps):
                loaded.apps.append(app)
    if definitions:
        from tidemill_local.load.definitions import load as load_definitions

        defined = load_definitions(list(dict.fromkeys(definitions)), cwd, programs)
        loaded.apps.append(defined.app)
        loaded.files, loaded.places = defined.files, defined.places
        loaded.notes += defined.notes
    loaded.schemas, files = events.declared(loaded.apps, events.folders(folders(targets, cwd)))
    loaded.files += files
    return loaded


def configured(cwd: Path) -> tuple[str, ...]:
    """`[tool.tidemill] targets` of the folder's pyproject.toml, else the folder itself."""
    file = cwd / "pyproject.toml"
    if file.is_file() and b"tool.tidemill" in file.read_bytes():
        import tomllib

        try:
            tool = tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("tidemill", {})
        except tomllib.TOMLDecodeError as error:
            raise TargetError(f"pyproject.toml: {error}") from None
        named = tool.get("targets")
        if named is not None:
            if not isinstance(named, list) or not all(isinstance(name, str) for name in cast("list[object]", named)):
                raise TargetError('pyproject.toml: [tool.tidemill] targets is a list of texts, ["shop.py"] for example')
            return tuple(cast("list[str]", named))
    return (".",)


def folders(targets: tuple[str, ...], cwd: Path) -> list[Path]:
    """The folders that the targets are in: where a new or repaired file may appear."""
    try:
        named = targets or configured(cwd)
    except TargetError:
        return [cwd]
    places = [cwd]
    for target in named:
        path = cwd / target
        places.append(path if path.is_dir() else path.parent if target.endswith((".py", _DEFINITION)) else cwd)
    return list(dict.fromkeys(place.resolve() for place in places if place.is_dir()))


def _apps(target: str, cwd: Path, definitions: list[Path], loading: Loading) -> list[App]:
    path = (cwd / target).resolve()
    if path.is_dir():
        return _folder(path, target, definitions, loading)
    loading(target)
    if target.endswith(_DEFINITION):
        if not path.is_file():
            raise NoTargetError(f"there is no file {clean(target)}; {_KINDS}")
        definitions.append(path)
        return []
    if target.endswith(".py"):
        if not path.is_file():
            raise NoTargetError(f"there is no file {clean(target)}; {_KINDS}")
        return _file(path, target)
    module, colon, name = target.partition(":")
    if not colon:
        raise NoTargetError(f"there is no folder {clean(target)}; {_KINDS}")
    return [_named(module, name, target)]


def _named(module_name: str, name: str, target: str) -> App:
    from tidemill.app import App

    if not all(module_name.split(".")) or not name:
        raise NoTargetError(f"{clean(target)} names no module and its App; {_KINDS}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            missing = clean(f"{target}: there is no module {error.name}")
            raise NoTargetError(f"{missing} on the path; {_KINDS}") from None
        raise
    for part in name.split("."):
        if not hasattr(found, part):
            raise TargetError(f"{target}: the module {module_name} has no {name}; name the variable that is the App")
        found = getattr(found, part)
    if not isinstance(found, App):
        raise TargetError(f"{target}: {name} is of type {type(found).__name__}, not an App")
    return found


def _file(path: Path, target: str) -> list[App]:
    apps = _apps_of(_import(path, target))
    if not apps:
        raise TargetError(f'{target} defines no App; write app = App("name") in it')
    return apps


def _folder(path: Path, target: str, definitions: list[Path], loading: Loading) -> list[App]:
    found = sorted(path.glob(f"*{_DEFINITION}"))
    definitions += found
    apps: list[App] = []
    for file in filter(defines_app, sorted(path.glob("*.py"))):
        loading(str(Path(target) / file.name))
        apps += _apps_of(_import(file, str(Path(target) / file.name)))
    if not apps and not found:
        where = "this folder" if target == "." else target
        raise TargetError(
            f"no .py file directly in {where} defines an App, and there is no *{_DEFINITION}; "
            'write app = App("name") in a .py file'
        )
    return apps


def _apps_of(module: ModuleType) -> list[App]:
    from tidemill.app import App

    apps: list[App] = []
    for value in list(vars(module).values()):
        if isinstance(value, App) and not any(value is app for app in apps):
            apps.append(value)
    return apps


def defines_app(file: Path) -> bool:
    """Whether the file makes an App at its top level, without executing it. A file that cannot be parsed but mentions
    App counts: importing it reports the error."""
    try:
        source = file.read_bytes()
    except OSError:
        return False
    if b"tidemill" not in source or b"App" not in source:
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True
    names = {
        alias.asname or "App"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tidemill"
        for alias in node.names
        if alias.name in {"App", "*"}
    }
    return any(_is_app_call(call, names) for call in _calls(tree))


def _calls(node: ast.AST) -> list[ast.Call]:
    """The calls that run when the module is imported."""
    calls: list[ast.Call] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(child, ast.Call):
            calls.append(child)
        calls += _calls(child)
    return calls


def _is_app_call(call: ast.Call, names: set[str]) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in names
    return isinstance(call.func, ast.Attribute) and call.func.attr == "App"


def _import(path: Path, target: str) -> ModuleType:
    """The module of a file, under the name by which others would import it."""
    source = path.read_bytes()
    if b"\0" in source:  # Python's error names neither file nor line
        line = source[: source.index(0)].count(b"\n") + 1
        raise TargetError(f"{target}, line {line}: there is a NUL character, so it is no Python; save it as text")
    root, name = _module_name(path)
    loaded = sys.modules.get(name)
    if loaded is None:
        if root not in sys.path:
            sys.path.insert(0, root)
        return importlib.import_module(name) if _finds(name, path) else _import_as(_own_name(path), path)
    if _is_from(loaded, path):
        return loaded
    return _import_as(_own_name(path), path)


def _module_name(path: Path) -> tuple[str, str]:
    """The folder for the path, and the dotted name with its packages, as far up as there is an `__init__.py`."""
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(parts) or path.stem


def _finds(name: str, path: Path) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def _is_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _own_name(path: Path) -> str:
    """A name for a file whose plain name is taken (two `app.py` in two folders), the same at every load."""
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{path.stem}_{digest}" if path.stem.isidentifier() else f"target_{digest}"


def _import_as(name: str, path: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
