"""Warns about settings in `cdk.json` that have no effect, since only the CDK's command line reads that file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from aws_cdk import Annotations
from constructs import Construct

from tidemill_cdk.settings import PREFIX

_HANDED_OVER = "CDK_CONTEXT_JSON"  # the variable that passes the context
_FILE = Path("cdk.json")


def warn(construct: Construct, known: dict[str, Any]) -> None:
    """Warn about settings of `cdk.json` that have no effect in this synth."""
    ignored = sorted(name for name, value in _written().items() if name.startswith(PREFIX) and known.get(name) != value)
    if _HANDED_OVER not in os.environ and ignored:
        Annotations.of(construct).add_warning_v2(
            "tidemill:context",
            f"{_FILE} sets {', '.join(ignored)}, but only the CDK's command line reads that file, and this synth was"
            " started without it: run `tidemill deploy` or `npx aws-cdk synth`, or pass App(context=...)",
        )


def _written() -> dict[str, Any]:
    try:
        found = json.loads(_FILE.read_text(encoding="utf-8")).get("context", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
