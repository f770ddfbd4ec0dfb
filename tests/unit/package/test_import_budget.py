"""What an import may cost. A Lambda pays for every module at each cold start, a command line at each keystroke.

The budget is a list of modules that must not have been loaded: that never flakes, as a stopwatch does.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# Milliseconds each (measured), paid by all and needed by few: whoever needs one imports it where it is used.
HEAVY = frozenset(
    {
        "asyncio",
        "boto3",
        "botocore",
        "cel",
        "concurrent.futures",
        "cronsim",
        "datamodel_code_generator",
        "email",
        "http",
        "http.client",
        "httptools",
        "jinja2",
        "jsonschema_rs",
        "logging",
        "multiprocessing",
        "pydantic",
        "pytest",
        "rich",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "tidemill_lambdas",
        "unittest",
        "urllib.request",
        "watchfiles",
        "xml",
        "zoneinfo",
    }
)

BUDGETS = {
    # What every user's module imports, in every Lambda and worker.
    "tidemill": HEAVY | {"tidemill_local", "tidemill.engine", "argparse", "json"},
    # What every user's Lambda pays at a cold start. TLS comes with its first call.
    "tidemill.aws.function.entry": (HEAVY - {"logging", "socket"})
    | {"tidemill_local", "aws_lambda_powertools", "argparse"}
    | {
        "tidemill.aws.runtimes",
        "tidemill.aws.messages.step_results",
        "tidemill.engine.drive.graph",
        "tidemill.runtimes",
    },
    # What the Lambda of a definition's step pays, whose code knows nothing of us.
    "tidemill.aws.runtimes.step_handler": HEAVY
    | {"tidemill_local", "tidemill.engine", "tidemill.core", "tidemill.aws.calls.client"},
    # What every command pays before it knows which one it is.
    "tidemill_local.cli": HEAVY,
    # What every pytest run pays on a machine with tidemill installed, whether it uses the fixture or not.
    "tidemill.testing_plugin": frozenset({"asyncio", "pydantic", "sqlite3", "tidemill_local", "tidemill.engine"}),
}


def loaded_by(module: str) -> set[str]:
    """The names in sys.modules of a fresh interpreter that has imported `module` alone."""
    # -S: no site-packages hooks (an editable install, a debugger) of the machine's; the path is ours instead.
    program = f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", BUDGETS)
def test_import_loads_nothing_heavy(module: str) -> None:
    assert sorted(loaded_by(module) & BUDGETS[module]) == []


# By command: how many modules it may load, its own among them, and what it may load of HEAVY.
COMMANDS = {
    ("--help",): (60, set[str]()),
    ("completion", "bash"): (60, set[str]()),
    # The standard library's HTTP brings the parser of mail headers along.
    ("send", "a", "{}", "--url", "http://127.0.0.1:1"): (120, {"http", "http.client", "email", "socket", "ssl"}),
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_starts_in_the_time_that_python_takes(words: tuple[str, ...]) -> None:
    """`tidemill --help` has 100 ms of CPU and `tidemill send` 150: what they take goes into imports."""
    most, needed = COMMANDS[words]
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; before = set(sys.modules); from tidemill_local.cli import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        "print(*(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert sorted(loaded & ((HEAVY | {"tidemill", "msgspec"}) - needed)) == []
    assert len(loaded) <= most, sorted(loaded)


def test_budget_notices_what_is_loaded() -> None:
    assert loaded_by("sqlite3") & HEAVY == {"sqlite3"}
