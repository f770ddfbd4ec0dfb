"""The key of a step, made from its branch, its id, and the number of a repetition or of an attempt.

charge            the id alone, in the trunk
charge:1          used again
p0/2/charge       in branch 2 of the trunk's first parallel
~p0/2/charge      in the trunk, with the id `p0/2/charge`: an id that looks like a branch's key is escaped
charge U+001F 2   attempt 2, handed over (see `handed`)
"""

from __future__ import annotations

import re

_ATTEMPT = "\x1f"  # no id of a step can hold it
_ESCAPE = "~"
_BRANCH = re.compile(r"(?:p\d+/\d+/)+")
_BRANCHES = re.compile(r"p(\d+)/(\d+)/")
_LOOKS_LIKE_A_BRANCH = re.compile(r"~*p\d+/\d+/")


def escaped(id: str) -> str:
    """The id as part of a key: never equal to the key of a step in a branch. Different ids stay different."""
    return _ESCAPE + id if id[:1] in "p~" and _LOOKS_LIKE_A_BRANCH.match(id) else id


def unscoped(key: str) -> str:
    """The key without its branch, as the code gives it."""
    id = _BRANCH.sub("", key, count=1) if _BRANCH.match(key) else key
    return id[1:] if id[:1] == _ESCAPE and _LOOKS_LIKE_A_BRANCH.match(id) else id


def beside(one: str, other: str) -> bool:
    """Whether these steps are in two branches of one parallel, so that neither comes before the other."""
    for mine, its in zip(_BRANCHES.findall(branch_of(one)), _BRANCHES.findall(branch_of(other)), strict=False):
        if mine != its:
            return bool(mine[0] == its[0])
    return False


def branch_of(key: str) -> str:
    """The branch that a step with this key is in; empty: the trunk."""
    found = _BRANCH.match(key)
    return found[0] if found is not None else ""


def scopes_of(key: str) -> list[str]:
    """The trunk, and the branches that a step with this key is in, from the outermost on."""
    inner = branch_of(key)
    return ["", *(inner[: found.end()] for found in _BRANCHES.finditer(inner))]


def attempt_key(key: str, attempt: int) -> str:
    return f"{key}{_ATTEMPT}{attempt}"


def step_of(key: str) -> str:
    """The step that a key of either kind belongs to."""
    return key.partition(_ATTEMPT)[0]


def is_handed(key: str) -> bool:
    return _ATTEMPT in key
