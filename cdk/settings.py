"""The settings of a deployment, from the context of `cdk.json` or the command line: `-c tidemill:name=staging`.

Every setting has a default, and all problems are reported at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from tidemill_cdk.problems import DeployError

PREFIX = "tidemill:"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARCHITECTURES = ("arm64", "x86_64")
_NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
# AWS for Fluent Bit 3.4.15, the list of its images for both architectures: a digest cannot be moved, as a tag can.
ROUTER_IMAGE = (
    "public.ecr.aws/aws-observability/aws-for-fluent-bit"
    "@sha256:88e1b56cedb230486afeca6eeb26c5f6bd59c48879d0054d1674d5a58838c607"
)
_IMAGE = re.compile(r"[a-z0-9][^\s]*")
_EMAIL = re.compile(r"|[^@\s]+@[^@\s]+")
# The retentions that CloudWatch allows, in days.
LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


def own_python() -> str:
    """The Python of this process, with which the code is developed; else Lambda's oldest or newest."""
    own = f"3.{sys.version_info.minor}"
    return own if own in PYTHONS else PYTHONS[-1]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A deployment's settings. Times are days if the name says so, else seconds."""

    name: str = "prod"  # the deployment's name: lower-case letters and digits; part of all resource names
    architecture: Literal["arm64", "x86_64"] = "arm64"  # the Python of every Lambda and the layer
    python: str = own_python()
    removal: Literal["retain", "destroy"] = "retain"  # whether tables, buckets, keys and logs outlive the stack
    table_protection: Literal["on", "off"] = "off"  # "on" once the first deployment has succeeded: see State
    archive_days: int = 30  # how long the bus can replay events
    payload_days: int = 430  # how long large payloads are kept: past the longest sleep (366 days) and its end (60)
    log_days: int = 30
    key_days: int = 90  # how often event and API keys are rotated; the last one stays valid until the next rotation
    requests_per_second: int = 1_000  # requests that send events; beyond, the answer is 429
    burst: int = 2_000
    reads_per_second: int = 500  # GET requests under /v1, apart from those of senders
    acts_per_second: int = 500  # all other requests under /v1
    ingest_reserved: int = 0  # reserved concurrency of the Lambda, also its maximum; 0: the account's
    api_reserved: int = 0
    events_reserved: int = 0
    alarm_email: str = ""  # receives alarms; without it, subscribe to the topic
    alarms: Literal["deployment", "function"] = "deployment"  # "function" adds two per function ($0.20 a month)
    router_image: str = ROUTER_IMAGE  # beside containers
    function_stacks: int = 0  # nested stacks, among which ids divide the functions; 0: none
    files: Literal["quiet", "list"] = "quiet"  # "list": each synth lists the deployed files of apps and steps
    rules: int = 300  # your account's quota of rules on a bus: raise it when AWS has


def of_context(context: Mapping[str, Any]) -> Settings:
    """The settings that a context holds under `tidemill:…`. Raises DeployError with every problem."""
    known = {field.name: field for field in fields(Settings)}
    problems: list[str] = []
    given: dict[str, Any] = {}
    for key, value in context.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX)
        if name not in known:
            problems.append(f"{key} is no setting; the settings are {', '.join(sorted(known))}")
        elif known[name].type == "int":
            given[name] = _whole(value)
        else:
            given[name] = value
    settings = Settings(**given)
    problems += _problems(settings)
    if problems:
        raise DeployError(*problems)
    return settings


def check(settings: Settings) -> Settings:
    """The same settings. Raises DeployError with every problem."""
    problems = _problems(settings)
    if problems:
        raise DeployError(*problems)
    return settings


def _whole(value: object) -> object:
    """Values from the command line are text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _problems(settings: Settings) -> list[str]:
    found: list[str] = []

    def note(name: str, fits: bool, wanted: str) -> None:
        if not fits:
            found.append(f"{PREFIX}{name} must be {wanted}, not {getattr(settings, name)!r}")

    def whole(name: str, least: int, most: int) -> None:
        value = getattr(settings, name)
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        note(name, fits, f"a whole number from {least:,} to {most:,}")

    def one_of(name: str, choices: tuple[object, ...]) -> None:
        note(name, getattr(settings, name) in choices, f"one of {', '.join(map(str, choices))}")

    def text(name: str, form: re.Pattern[str], wanted: str) -> None:
        value = getattr(settings, name)  # a context may contain any type
        note(name, isinstance(value, str) and form.fullmatch(value) is not None, wanted)

    text("name", _NAME, "1 to 20 lower-case letters and digits, a letter first")
    text("router_image", _IMAGE, "the name of an image")
    text("alarm_email", _EMAIL, "an e-mail address, or left out")
    one_of("architecture", ARCHITECTURES)
    one_of("python", PYTHONS)
    one_of("removal", ("retain", "destroy"))
    one_of("table_protection", ("on", "off"))
    one_of("files", ("quiet", "list"))
    one_of("alarms", ("deployment", "function"))
    one_of("log_days", LOG_DAYS)
    whole("archive_days", 1, 3_650)
    whole("payload_days", 430, 3_650)  # an open run renews its payloads, but not while it sleeps
    whole("key_days", 1, 1_000)
    whole("requests_per_second", 1, 10_000)
    whole("burst", 1, 5_000)
    whole("reads_per_second", 1, 10_000)
    whole("acts_per_second", 1, 10_000)
    for name in ("ingest_reserved", "api_reserved", "events_reserved"):
        whole(name, 0, 10_000)
    whole("function_stacks", 0, 100)
    whole("rules", 1, 3_000)
    return found
