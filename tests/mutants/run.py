"""`make mutants`: puts subtle mistakes into the code, one at a time, and says which of them no test notices.

A seed draws the sample, so that each release can take a fresh one. Every mistake is made in a copy of the checkout.
A mistake that changes nothing anybody could notice is listed in equivalent.txt, with the reason, and is not drawn.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutants.operators import Mutant, mutants
from mutants.rooms import SEEDS, Room, files

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".ministack", ".linters", ".versions", ".*_cache", ".hypothesis", "__pycache__", "build", "dist",
    "*.egg-info", ".tidemill",
)  # fmt: skip
_SIMULATED = 150  # seeds


def equivalents() -> dict[str, str]:
    """The names of the mistakes that change nothing, each with why."""
    found: dict[str, str] = {}
    why = ""
    for line in EQUIVALENT.read_text().splitlines():
        if line.startswith("# "):
            why = line[2:]
        elif line:
            found[line] = why
    return found


def drawn(count: int, seed: int, room: str | None) -> list[tuple[Mutant, Room]]:
    """A sample: one mistake in each of so many functions, so that neither long ones nor long files are all there is."""
    draw, known = random.Random(seed), equivalents()
    functions: dict[tuple[str, str], list[tuple[Mutant, Room]]] = {}
    for path, its in files(ROOT).items():
        for mutant in mutants(ROOT, path) if room in (None, its.name) else ():
            if mutant.name not in known:
                functions.setdefault((path, mutant.function), []).append((mutant, its))
    chosen = draw.sample(list(functions), min(count, len(functions)))
    return [draw.choice(functions[each]) for each in chosen]


class Bench:
    """A copy of the checkout, in which one mistake at a time is made and judged."""

    def __init__(self, folder: Path, patience: float) -> None:
        self.root = folder / "checkout"
        self._patience = patience
        self._sound: set[tuple[str, ...]] = set()
        shutil.copytree(ROOT, self.root, symlinks=True, ignore=_LEFT_OUT)

    def judge(self, mutant: Mutant, room: Room) -> str:
        """`killed`, `survived`, or `undecided`: its tests took too long. (Pytest itself ends a test that hangs.)"""
        path = self.root / mutant.path
        source = path.read_bytes()
        path.write_bytes(mutant.applied(source))
        try:
            noticed = self._noticed(room)
        except subprocess.TimeoutExpired:
            return "undecided"
        finally:
            path.write_bytes(source)
        if noticed is not None:
            self._check(noticed)
        return "survived" if noticed is None else "killed"

    def _noticed(self, room: Room) -> tuple[str, ...] | None:
        """The first tests that fail."""
        until = time.monotonic() + self._patience
        for tests in room.tests:
            if not self.passes(tests, max(until - time.monotonic(), 0)):
                return tests
        return None

    def _check(self, tests: tuple[str, ...]) -> None:
        """Tests that fail without a mistake would notice everything."""
        if tests not in self._sound and not self.passes(tests):
            raise SystemExit(f"these tests fail without a mistake: {' '.join(tests)}")
        self._sound.add(tests)

    def passes(self, tests: tuple[str, ...], seconds: float | None = None) -> bool:
        if tests == SEEDS:
            command = ["tests/simulation/run.py", "--world", "local", "--seeds", str(_SIMULATED)]
        else:
            command = ["-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self.root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            [sys.executable, *command], cwd=self.root, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=60, help="how many mistakes are made")
    parser.add_argument("--seed", type=int, default=1, help="draws the sample")
    parser.add_argument("--room", help="draw from this room alone: see rooms.py")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--patience", type=float, default=900, help="seconds for the tests of one mistake")
    parser.add_argument("--list", action="store_true", help="print the sample, and make none of it")
    options = parser.parse_args()
    sample = drawn(options.sample, options.seed, options.room)
    if options.list:
        print(*(mutant.name for mutant, _ in sample), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(options.jobs):
            benches.put(Bench(Path(folder) / str(number), options.patience))
        counts = _judged(sample, benches, options.jobs)
    print(f"of {len(sample)}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 0 if counts["killed"] == len(sample) else 1


def _judged(sample: list[tuple[Mutant, Room]], benches: SimpleQueue[Bench], jobs: int) -> dict[str, int]:
    counts = {"killed": 0, "survived": 0, "undecided": 0}

    def judged(each: tuple[Mutant, Room]) -> None:
        bench = benches.get()
        began = time.monotonic()
        try:
            verdict = bench.judge(*each)
        finally:
            benches.put(bench)
        counts[verdict] += 1
        print(f"{verdict:9} {time.monotonic() - began:4.0f} s  {each[0].line}: {each[0].name}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(judged, sample))
    return counts


if __name__ == "__main__":
    sys.exit(main())
