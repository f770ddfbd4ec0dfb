"""What is wrong with a deployment, said to people."""

from __future__ import annotations


class DeployError(Exception):
    """One sentence a problem: what is wrong, where, what to do. All problems of one check are told at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
