"""Simulate: `python tests/simulation/run.py --seeds 1000 [--first N] [--world aws]`, or `--seed N` to see one.

`worlds.py` names the worlds. Prints the first seed that breaks an invariant, cut down to the smallest scenario that
still does, and exits 1.
"""

from __future__ import annotations

import argparse
import copy
import pprint
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

from simulation.layers import make
from simulation.scenario import Scenario
from simulation.states import Met, missing, table
from simulation.worlds import WORLDS, check, outcome

ENOUGH = {"local": 2_000, "sync": 2_000, "aws": 2_000, "moto": 10_000}  # seeds that fill the map


def shrunk(scenario: Scenario, world: str = "local", tries: int = 300) -> Scenario:
    """The smallest scenario found that is still broken."""
    progress = True
    while progress and tries > 0:
        progress = False
        for smaller in _smaller(scenario):
            tries -= 1
            if check(smaller, world):
                scenario, progress = smaller, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    if scenario.faults:
        for faults in (0.0, scenario.faults / 2):
            yield _with(scenario, faults=faults)
    if scenario.stalls:
        for stalls in (0.0, scenario.stalls / 2):
            yield _with(scenario, stalls=stalls)
    for n in range(len(scenario.sent)):
        yield _with(scenario, sent=scenario.sent[:n] + scenario.sent[n + 1 :])
    for n, graph in enumerate(scenario.graphs):
        yield _with(scenario, graphs=scenario.graphs[:n] + scenario.graphs[n + 1 :])
        for m in range(len(graph.nodes)):
            smaller = copy.deepcopy(scenario)
            gone = smaller.graphs[n].nodes.pop(m).id
            if not any(edge.source == gone for node in smaller.graphs[n].nodes for edge in node.after):
                yield smaller
        for what in (graph.fails, graph.handed):
            for id in what:
                smaller = copy.deepcopy(scenario)
                getattr(smaller.graphs[n], "fails" if what is graph.fails else "handed").pop(id)
                smaller.graphs[n].fails.setdefault(id, 0)
                yield smaller
    for n, program in enumerate(scenario.programs):
        if program.on is not None and program.id not in ("listener", "child"):
            yield _with(scenario, programs=scenario.programs[:n] + scenario.programs[n + 1 :])
        for feature in program.flow:
            plain = copy.deepcopy(scenario)
            del plain.programs[n].flow[feature]
            yield plain
        for m in range(len(program.ops)):
            fewer = copy.deepcopy(scenario)
            del fewer.programs[n].ops[m]
            yield fewer


def _with(scenario: Scenario, **changes: object) -> Scenario:
    return Scenario(**{**vars(copy.deepcopy(scenario)), **changes})  # type: ignore[arg-type]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--world", choices=list(WORLDS), default="local")
    parser.add_argument("--go-on", action="store_true", help="name every seed that breaks, and cut none down")
    parser.add_argument("--all", action="store_true", help="also draw what the engine is known not to hold yet")
    args = parser.parse_args()
    seeds = [args.seed] if args.seed is not None else range(args.first, args.first + args.seeds)
    began = time.monotonic()
    met: Met = Counter()
    for seed in seeds:
        problems, system = outcome(make(seed, args.world, args.all), args.world)
        met += system.met if system is not None else Counter()
        if problems and args.go_on:
            sys.stdout.write(f"seed {seed} breaks: {problems[0][-230:]}\n")
        elif problems:
            small = shrunk(make(seed, args.world, args.all), args.world)
            sys.stdout.write(f"seed {seed} breaks:\n" + "\n".join(f"  {p}" for p in problems[:10]) + "\n")
            sys.stdout.write("cut down to:\n" + pprint.pformat(small) + "\n")
            sys.stdout.write("which breaks:\n" + "\n".join(f"  {p}" for p in check(small, args.world)[:10]) + "\n")
            return 1
    sys.stdout.write(f"{len(seeds)} seeds hold ({time.monotonic() - began:.0f} s)\n")
    return _mapped(met, args.world) if len(seeds) >= ENOUGH[args.world] else 0


def _mapped(met: Met, world: str) -> int:
    """Show the map of states and operations; 1 where a cell that is possible is empty."""
    sys.stdout.write(table(met) + "\n")
    empty = missing(met, world)
    sys.stdout.writelines(f"no run was {operation} while {state}\n" for state, operation in empty)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
