"""`tidemill runs export`: a run as a file, to be replayed here, or as a test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill_local.cli.stop import DONE, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api


def export(options: Namespace, server: Api) -> int:
    from tidemill_local.bundles import collect
    from tidemill_local.bundles.file import sealed
    from tidemill_local.bundles.redact import Redactor
    from tidemill_local.cli.run_id import asked

    if options.app is not None and not options.as_test:
        raise Stop(USAGE, "runs export: --app says what a test imports; it goes with --as-test")
    run = asked(server, options.run, lambda path: collect.run_of(server, path))
    if options.redact:
        run = Redactor().run(run)
    run_id = run["run"]["run_id"]
    content, name = sealed(run, options.redact), f"{run_id}.tidemill.json"
    if options.as_test:
        from tidemill_local.bundles.as_test import pytest_of
        from tidemill_local.bundles.file import parse

        content = pytest_of(parse(content, run_id), options.app or "app:app").encode()
        name = f"test_run_{run_id[-8:].lower()}.py"
    return _write(content, options.output or name)


def _write(content: bytes, name: str) -> int:
    if name == "-":
        sys.stdout.buffer.write(content)
        return DONE
    try:
        Path(name).write_bytes(content)
    except OSError as error:
        raise Stop(USAGE, f"{name} cannot be written: {error.strerror or error}") from None
    print(name)
    return DONE
