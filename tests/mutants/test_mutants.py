"""The mistakes that `make mutants` makes: which, where, and that the lists beside them still speak of this code."""

from __future__ import annotations

import ast
from pathlib import Path

from mutants.operators import mutants
from mutants.rooms import ROOMS, SEEDS, files
from mutants.run import ROOT, drawn, equivalents

CODE = '''
LIMIT = 3

class Line:
    def served(self, until: "int < 5", now=1) -> bool:
        """Whether 1 < 2."""
        if until <= now and not self.closed:
            self.drop(until - 1)
            log.info("dropped")
            return True
        assert now > 0
        raise ValueError(f"{now + 1} > 2")
'''


def test_a_mistake_stands_where_the_code_decides(tmp_path: Path) -> None:
    (tmp_path / "line.py").write_text(CODE)
    found = mutants(tmp_path, "line.py")
    assert [(mutant.before, mutant.after) for mutant in found] == [
        ("until <= now and not self.closed", "(until <= now or not self.closed)"),
        ("until <= now and not self.closed", "(until <= now)"),
        ("until <= now", "(until < now)"),
        ("not self.closed", "(self.closed)"),
        ("self.drop(until - 1)", "pass"),
        ("until - 1", "(until + 1)"),
        ("1", "2"),
        ("True", "False"),
    ]
    assert {mutant.function for mutant in found} == {"Line.served"}
    for mutant in found:
        changed = mutant.applied(CODE.encode()).decode()
        ast.parse(changed)
        assert [line for line, was in zip(changed.splitlines(), CODE.splitlines(), strict=True) if line != was]


def test_the_same_seed_draws_the_same_sample_of_different_functions() -> None:
    sample = drawn(40, 7, None)
    assert sample == drawn(40, 7, None)
    assert sample != drawn(40, 8, None)
    assert len({(mutant.path, mutant.function) for mutant, _ in sample}) == 40
    assert not {mutant.name for mutant, _ in sample} & set(equivalents())


def test_every_room_has_code_and_tests() -> None:
    assert {room.name for room in files(ROOT).values()} == {room.name for room in ROOMS}
    for room in ROOMS:
        for path in (path for tests in room.tests if tests != SEEDS for path in tests):
            assert (ROOT / path).exists(), f"{room.name}: {path}"


def test_what_is_listed_as_equivalent_is_still_there_and_has_a_reason() -> None:
    known = equivalents()
    there = {mutant.name for path in {name.partition("::")[0] for name in known} for mutant in mutants(ROOT, path)}
    assert [name for name in known if name not in there] == []
    assert all(known.values())
