"""The kinds of bundle: the layer, the platform's own Lambdas, a user's app, and what definitions need."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from aws_cdk import AssetHashType
from aws_cdk import aws_lambda as lambda_

from tidemill_cdk.bundles.bundle import Bundle, Recipe, bundle
from tidemill_cdk.problems import DeployError
from tidemill_cdk.settings import Settings

_HERE = Path(__file__).resolve().parent
_REQUIREMENTS = "requirements.txt"


def layer_recipe(settings: Settings) -> Recipe:
    """The engine, with the dependencies of the engine and of users' models."""
    return Recipe(
        name="layer",
        sources=(("tidemill", package_folder("tidemill")),),
        requirements=_HERE / "requirements-layer.txt",
        further=_HERE / "requirements-schemas.txt" if checks_schemas(settings) else None,
        python=settings.python,
        architecture=settings.architecture,
        prefix="python",
        place="/opt/python",
    )


def checks_schemas(settings: Settings) -> bool:
    """Whether jsonschema-rs has a wheel for the Lambdas: for arm64 it needs glibc 2.28, and Python 3.11 has 2.26."""
    return (settings.python, settings.architecture) != ("3.11", "arm64")


def lambdas_recipe(settings: Settings) -> Recipe:
    """The platform's own Lambdas: one bundle for all of them."""
    return Recipe(
        name="lambdas",
        sources=(("tidemill_lambdas", package_folder("tidemill_lambdas")),),
        requirements=_HERE / "requirements-lambdas.txt",
        python=settings.python,
        architecture=settings.architecture,
        place="/var/task",
    )


def app_recipe(entry: Path, settings: Settings) -> Recipe:
    """A user's app: the folder `entry`, with the packages of its requirements.txt."""
    return _folder("app", entry, entry.relative_to(import_root(entry)).as_posix(), settings)


def step_recipe(folder: Path, settings: Settings) -> Recipe:
    """A step's folder, in the same way; the folder's name need not be a package."""
    return _folder("step", folder, "", settings)


def _folder(kind: str, folder: Path, where: str, settings: Settings) -> Recipe:
    requirements = folder / _REQUIREMENTS
    return Recipe(
        name=f"{kind}-{folder.name or 'root'}",
        sources=((where, folder),),
        requirements=requirements if requirements.is_file() else None,
        locked=False,
        python=settings.python,
        architecture=settings.architecture,
        place="/var/task",
        listed=settings.files == "list",
    )


def wasm_recipe(settings: Settings) -> Recipe:
    """A second layer, with the WebAssembly runtime, for functions that need it."""
    return Recipe(
        name="wasm",
        sources=(),
        requirements=_HERE / "requirements-wasm.txt",
        python=settings.python,
        architecture=settings.architecture,
        prefix="python",
        place="/opt/python",
    )


def definitions_recipe(folder: Path, settings: Settings) -> Recipe:
    """The files of an executor of definitions: the definitions, and the modules of their steps."""
    return Recipe(
        name="definitions",
        sources=(("", folder),),
        python=settings.python,
        architecture=settings.architecture,
        place="/var/task",
    )


def import_root(entry: Path) -> Path:
    """The folder from which the app's code is imported: `entry`, or its parent if `entry` is a package."""
    if not entry.is_dir():
        raise DeployError(f"entry={str(entry)!r} is no folder; name the one that holds the app's code")
    while (entry / "__init__.py").is_file():
        entry = entry.parent
    return entry


own_bundle = cache(bundle)  # only the platform's parts, which do not change during a process


def code(made: Bundle) -> lambda_.AssetCode:
    """The bundle as an asset, with the hash of its inputs."""
    return lambda_.Code.from_asset(str(made.zip), asset_hash=made.hash, asset_hash_type=AssetHashType.CUSTOM)


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise DeployError(f"the package {name} is not installed here; pip install 'tidemill[cdk]' brings it")
    return Path(found.origin).resolve().parent
