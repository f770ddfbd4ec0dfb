"""`make bench`: Tidemill and its peers on the same work, in one run, as a table of ratios.

WORK and PEERS (names, spaces between) choose some of each; QUICK=1 takes small counts and one round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median

from marks import StalledError
from peers import NOT_RUN, PEERS
from peers.base import HOME, UnavailableError
from proc import HERE, machine
from table import Result, load, table, write_readme
from work import WORK
from work.base import Rig


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", nargs="+", choices=WORK, default=os.environ.get("WORK", "").split() or list(WORK))
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=PEERS,
        default=os.environ.get("PEERS", "").split() or list(PEERS),
        help="tidemill counts as one of them",
    )
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("QUICK")))
    options = parser.parse_args()
    if unknown := [*({*options.work} - {*WORK}), *({*options.peers} - {*PEERS})]:
        parser.error(f"no such work or peer: {' '.join(unknown)}; work: {' '.join(WORK)}; peers: {' '.join(PEERS)}")
    return options


def install(names: list[str]) -> dict[str, str]:
    """Install what is missing; those that cannot be, and why."""
    skipped: dict[str, str] = {}
    for name in names:
        try:
            PEERS[name]().install()
        except UnavailableError as problem:
            skipped[PEERS[name].label] = str(problem)
            say(f"skipping {name}: {problem}")
    return skipped


def measure(work: str, names: list[str], quick: bool) -> Result:
    """All peers in turn, round by round, so that a slow minute of the machine hits everyone."""
    module = WORK[work]
    rounds: dict[str, list[dict[str, float]]] = {}
    skipped: dict[str, str] = {}
    for number in range(1 if quick else module.ROUNDS):
        for name in names:
            if work not in PEERS[name].work or PEERS[name].label in skipped:
                continue
            began = time.monotonic()
            try:
                values = module.measure(Rig(PEERS[name], quick))
            except (UnavailableError, StalledError, OSError) as problem:
                skipped[PEERS[name].label] = f"{work} failed: {problem}"
                say(f"  {work} {name} failed: {problem}")
                continue
            rounds.setdefault(name, []).append(values)
            shown = "  ".join(f"{metric} {value:.4g}" for metric, value in values.items())
            say(f"  {work} {number + 1} {name:9} {shown}   ({time.monotonic() - began:.1f} s)")
    values_by_peer = {
        name: {metric: median(r[metric] for r in found) for metric in found[0]} for name, found in rounds.items()
    }
    return {
        "work": work,
        "quick": quick,
        "when": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "values": values_by_peer,
        "rounds": rounds,
        "skipped": skipped,
    }


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    options = arguments()
    needed = [name for name in PEERS if any(work in PEERS[name].work for work in options.work)]
    skipped = install([name for name in needed if name in options.peers])
    names = [name for name in needed if name in options.peers and PEERS[name].label not in skipped]
    everyone = {*needed} <= {*options.peers} and not options.quick
    folder = HERE / "results" if everyone else HOME / "results"
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for work in options.work:
        result = measure(work, names, options.quick)
        result["skipped"] |= {**skipped, **NOT_RUN}
        (folder / f"{work}.json").write_text(json.dumps(result, indent=1) + "\n")
        results.append(result)
    say("\n" + table(results))
    if everyone:
        write_readme(Path(HERE / "README.md"), load(folder))
        say("\nwritten to bench/README.md and bench/results/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
