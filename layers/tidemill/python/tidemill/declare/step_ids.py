"""Refuses invalid step ids that are literals in a function's code, before any run reaches them.

It reads the compiled code, not the source, which may be missing. It disassembles only functions with a literal that
cannot be a step id (usually a docstring).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.sdk.name_rules import step_id_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from dis import Instruction
    from types import CodeType

    from tidemill.declare.problems import Problems

_STEPS = frozenset(
    {
        *("run", "sleep", "sleep_until", "wait_for_event", "wait_for_any", "wait_for_signal"),
        *("invoke", "send_event", "map"),
    }
)
_BETWEEN = frozenset({"PUSH_NULL", "CACHE", "NOP", "EXTENDED_ARG"})


def check_step_ids(code: CodeType, problems: Problems) -> None:
    """Notes every id in `….step.run("id", …)` and the like that no step can have."""
    if any(isinstance(constant, str) and step_id_problem(constant) for constant in code.co_consts):
        for line, step, step_id in _written_ids(code):
            problems.note(f"step.{step} in line {line}", step_id_problem(step_id))
    for constant in code.co_consts:  # lambdas and functions within
        if hasattr(constant, "co_consts"):
            check_step_ids(constant, problems)


def _written_ids(code: CodeType) -> Iterator[tuple[int, str, str]]:
    import dis

    found = [one for one in dis.get_instructions(code) if one.opname not in _BETWEEN]
    for of, step, first in zip(found, found[1:], found[2:], strict=False):
        written = of.argval == "step" and step.argval in _STEPS and first.opname == "LOAD_CONST"
        if written and _is_whole(first, step, found):
            line = step.positions.lineno if step.positions else None
            yield line or code.co_firstlineno, step.argval, first.argval


def _is_whole(text: Instruction, method: Instruction, found: list[Instruction]) -> bool:
    """Whether the text is all of the argument: `"".join(parts)` and `"" + name` only begin with it.

    What is done to the text covers it in the source, and begins after the method's name.
    """
    start, end = _place(text)
    after = _place(method)[1]
    if start is None or end is None or after is None:
        return False
    for one in found:
        begins, ends = _place(one)
        if one is not text and begins and ends and after <= begins <= start and end <= ends:
            return False
    return True


def _place(one: Instruction) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The start and end of an instruction's source, as line and column; None if the code was compiled without."""
    at = one.positions
    if at is None or at.lineno is None or at.col_offset is None:
        return None, None
    if at.end_lineno is None or at.end_col_offset is None:
        return None, None
    return (at.lineno, at.col_offset), (at.end_lineno, at.end_col_offset)
