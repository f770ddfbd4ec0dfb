"""AWS credentials and region: from Lambda's environment, else by botocore's rules.

In a Lambda the environment holds keys that outlive the process, and botocore is not loaded. Anywhere else (a laptop's
profiles, a container, a Lambda that SnapStart restored and that has to fetch its keys) botocore finds the credentials,
and renews those that expire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tidemill.aws.calls.sign import Credentials
from tidemill.errors import TidemillError


def credentials(environment: Mapping[str, str]) -> Callable[[], Credentials]:
    """A function that returns the current signing keys; cheap to call. Raises TidemillError if there are none."""
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        fixed = Credentials(key, secret, environment.get("AWS_SESSION_TOKEN") or None)
        return lambda: fixed
    found: Any = _session().get_credentials()
    if found is None:
        raise TidemillError(
            "there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )

    def current() -> Credentials:
        frozen = found.get_frozen_credentials()  # renews them shortly before they expire
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return current


def region(environment: Mapping[str, str]) -> str:
    """Raises TidemillError if no region is set."""
    named = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if named:
        return named
    configured: Any = _session().get_config_variable("region")
    if not configured:
        raise TidemillError("no AWS region is set: set AWS_REGION, or a region in your AWS profile")
    return str(configured)


def _session() -> Any:
    return import_module("botocore.session").get_session()  # which ships no types
