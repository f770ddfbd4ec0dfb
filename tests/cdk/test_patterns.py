"""What a rule's pattern is in the template is what the manifest says, whatever CloudFormation drops."""

from __future__ import annotations

import json
from typing import Any

from cdk.conditions import COUNT, conditions
from cdk.conftest import pattern_of

from tidemill.core.pattern import pattern
from tidemill.model import EventTrigger


def test_the_template_matches_what_the_manifest_matches(patterns: Any) -> None:
    found = {one["Description"]: pattern_of(one) for one in patterns.of("AWS::Events::Rule").values()}
    assert len(patterns.of("AWS::Events::Rule")) == COUNT
    wanted = {f"Starts {when}": pattern([EventTrigger("a", when)]) for when in conditions()}
    assert found == wanted
    assert sum("null" in json.dumps(one) for one in wanted.values()) > COUNT // 4
