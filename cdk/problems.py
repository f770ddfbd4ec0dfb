"""The error for an invalid deployment."""

from __future__ import annotations


class DeployError(Exception):
    """One sentence per problem: what is wrong, where, what to do. A check reports all of its problems at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
