"""What is laid over a plain scenario: each layer one kind of thing that happens to systems, drawn from lots of its own.

A layer changes the scenario in place. Since each has its own lots, a seed's other layers stay what they are when one is
added, changed or left out.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simulation import scenario
from simulation.scenario import EVENTS, USERS, Act, Op, Program, Scenario, Sent

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True)
class Layer:
    """`often`: in what share of the seeds. `worlds`: where it can be; none named: everywhere."""

    lay: Callable[[random.Random, Scenario], None]
    often: float
    worlds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.lay.__name__


def make(seed: int, world: str = "local", everything: bool = False, only: str | None = None) -> Scenario:
    """The scenario of a seed. `everything`: also what the engine is known not to hold yet.

    `only`: this layer (or several, with a plus between), in every seed, and no other.
    """
    made = scenario.make(seed)
    if only is not None:
        made.everything = True
        for layer in [each for each in LAYERS if each.name in only.split("+")]:
            layer.lay(random.Random(f"{seed} {layer.name}"), made)
        return made
    made.everything = everything
    for layer in LAYERS:
        if not everything and layer.lay in PENDING:
            continue
        rng = random.Random(f"{seed} {layer.name}")
        if rng.random() < layer.often and (not layer.worlds or world in layer.worlds):
            layer.lay(rng, made)
            made.notes.append(layer.name)
    made.sent.sort(key=lambda sent: sent.at)
    return made


def bursts(rng: random.Random, made: Scenario) -> None:
    """Several events in one request, more than a batch takes."""
    for _ in range(rng.randint(1, 3)):
        name, user = rng.choice(EVENTS[:2]), rng.choice(USERS)
        at = rng.choice([rng.randint(0, 3_000), rng.randint(0, 300_000)])
        made.sent.append(Sent(at, name, user, 1_000 + 100 * len(made.sent), burst=rng.randint(2, 12)))


def ahead(rng: random.Random, made: Scenario) -> None:
    """Events with a time ahead: sent from outside beside others that count at once, and by steps."""
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(EVENTS)
        at = rng.randint(0, 60_000)
        later = rng.choice([5_000, 60_000, 500_000])
        made.sent.append(Sent(at, name, rng.choice(USERS), 5_000 + len(made.sent), ahead=later))
        made.sent.append(Sent(at + rng.randint(0, 2_000), name, rng.choice(USERS), 5_100 + len(made.sent)))
    for program in _mine(made):
        if rng.random() < 0.4:
            _put(rng, program, ["send", "ahead", 1, rng.choice([20_000, 200_000])])


def races(rng: random.Random, made: Scenario) -> None:
    """Code that goes its way by which of its branches ends first, and task groups."""
    for program in _mine(made):
        program.is_async = program.is_async or rng.random() < 0.5
        if not program.is_async:
            continue
        for number in range(rng.randint(1, 2)):
            kind = rng.choice(["race", "race", "order", "group"])
            branches = [_branch(rng, f"r{number}{b}") for b in range(rng.randint(2, 3))]
            _put(rng, program, ["group", branches] if kind == "group" else [kind, f"{kind}{number}", branches])


def _branch(rng: random.Random, prefix: str) -> list[Op]:
    ops: list[Op] = []
    for number in range(rng.randint(1, 2)):
        id = f"{prefix}{number}"
        ops.append(
            rng.choice(
                [
                    ["run", id, rng.choice([0, 0, 0, 1])],
                    ["run", id, 0],
                    ["sleep", id, rng.choice([10, 1_500, 70_000])],
                    [
                        "wait",
                        id,
                        rng.choice(EVENTS[1:3]),
                        rng.choice(["match", "all"]),
                        rng.choice([5_000, 90_000]),
                        True,
                    ],
                ]
            )
        )
    return ops


def threads(rng: random.Random, made: Scenario) -> None:
    """The branches of plain functions run at the same time."""
    for program in _mine(made):
        if not program.is_async:
            program.threads = True
            branches = [scenario.ops(rng, rng.randint(1, 3), f"t{b}", 0) for b in range(rng.randint(2, 3))]
            _put(rng, program, ["parallel", branches])


def ids(rng: random.Random, made: Scenario) -> None:
    """Steps whose ids look like the keys of branches, or of repetitions."""
    for program in _mine(made):
        _put(rng, program, ["tagged", rng.choice(["p0/0/a", "p0/1/a", "p1/0/a", "a:1"]), "tag1"])
        _put(rng, program, ["parallel", [[["tagged", "a", "tag2"]], [["sleep", "b", 10], ["run", "c", 0]]]])
        _put(rng, program, ["tagged", "a", "tag3"])


def waits(rng: random.Random, made: Scenario) -> None:
    """Waits without a timeout, and the same wait again and again; what is never met is cancelled in the end."""
    for program in _mine(made):
        kind = rng.choice(["endless", "loop", "signal"])
        name, how = rng.choice(EVENTS[1:3]), rng.choice(["match", "when", "all"])
        if kind == "endless":
            _put(rng, program, ["wait", "endless", name, how, None, rng.random() < 0.8])
        elif kind == "loop":
            _put(rng, program, ["loop", "again", rng.randint(2, 6), name, how, rng.choice([20_000, 400_000])])
        else:
            _put(rng, program, ["signal", "called", "go", None])
    made.sent.extend(
        Sent(rng.randint(0, 400_000), rng.choice(EVENTS[1:3]), rng.choice(USERS), 2_000 + n) for n in range(6)
    )
    _finally(made)


def named_times(rng: random.Random, made: Scenario) -> None:
    """Errors that name the time of the next attempt."""
    for program in _mine(made):
        _put(rng, program, ["later", "named", rng.randint(1, 2), rng.choice([0, 0.5, 3, 400])])


def patient(rng: random.Random, made: Scenario) -> None:
    """Attempts that fail, and minutes until the next."""
    for program in _mine(made):
        program.backoff, program.retries = "5m", max(1, program.retries)
        _put(rng, program, rng.choice([["raise", 1], ["run", "retried", 1]]))


def large(rng: random.Random, made: Scenario) -> None:
    """Values that no record holds, and maps of many parts."""
    program = rng.choice(_mine(made))
    if rng.random() < 0.5:
        _put(rng, program, ["run", "large", 0, rng.choice([20_000, 300_000])])
    else:
        _put(rng, program, ["map", "wide", rng.choice([30, 60, 120]), rng.choice([None, None, 3])])


def maps(rng: random.Random, made: Scenario) -> None:
    """Long maps, a few parts at a time, of runs that are cancelled, or fail, meanwhile."""
    program = rng.choice(_mine(made))
    program.on, program.when = EVENTS[0], None
    beside: list[Op] = rng.choice([["boom", "beside"], ["raise", 2], ["sleep", "beside", 10]])
    program.ops.insert(0, ["parallel", [[["map", "long", 120, 2]], [["run", "before", 0], beside]]])
    made.sent.append(Sent(0, EVENTS[0], USERS[0], 6_000))
    made.acts.append(Act(rng.randint(100, 1_500), "cancel", 1))


def timeouts(rng: random.Random, made: Scenario) -> None:
    """Runs that must have begun, or ended, in time."""
    for program in _mine(made):
        if rng.random() < 0.6:
            program.start = rng.choice([2_000, 30_000, 400_000])
        if rng.random() < 0.6:
            program.finish = rng.choice([1_000, 30_000, 400_000])


def cancels(rng: random.Random, made: Scenario) -> None:
    """Runs are cancelled by API, at any moment of their lives."""
    for _ in range(rng.randint(1, 4)):
        made.acts.append(
            Act(rng.choice([rng.randint(0, 3_000), rng.randint(0, 900_000)]), "cancel", rng.randint(0, 99))
        )


def reruns(rng: random.Random, made: Scenario) -> None:
    """Runs are run again: from the start or a step, with the same input or another."""
    for _ in range(rng.randint(1, 3)):
        arg = [rng.choice([None, rng.randint(0, 9)]), rng.choice([None, rng.randint(0, 9)])]
        made.acts.append(Act(rng.randint(2_000, 1_500_000), "rerun", rng.randint(0, 99), arg))


def deploys(rng: random.Random, made: Scenario) -> None:
    """Code is deployed while runs are open: options drawn anew, functions that go, come back, or have another name."""
    current = made.programs
    times = sorted(rng.randint(500, 600_000) for _ in range(rng.randint(1, 3)))
    for at in times:
        current = copy.deepcopy(current)
        for program in [each for each in current if each.id not in ("child", "listener")]:
            kind = rng.choice(["options", "options", "options", "gone", "renamed", "same"])
            if kind == "options":
                program.flow = {}
                scenario.control(rng, [program], [])
            elif kind == "gone":
                current.remove(program)
            elif kind == "renamed" and all(each.id != f"{program.id}x" for each in current):
                program.id += "x"
        if rng.random() < 0.5:
            there = {program.id for program in current}
            current += [copy.deepcopy(each) for each in made.programs if each.id not in there]
        made.deploys.append(current)
        made.acts.append(Act(at, "deploy", arg=len(made.deploys) - 1))
    _finally(made)


def clocks(rng: random.Random, made: Scenario) -> None:
    """The machine's clock is set back, or ahead and back."""
    for _ in range(rng.randint(1, 2)):
        at, by = rng.randint(500, 300_000), rng.choice([5_000, 5_000, 600_000, DAY])
        made.acts.append(Act(at, "clock", arg=-by))


def lids(rng: random.Random, made: Scenario) -> None:
    """The machine sleeps for hours; functions run by the clock."""
    for program in _mine(made):
        if rng.random() < 0.6:
            program.cron = rng.choice(["* * * * *", "*/5 * * * *", "0 * * * *"])
    at, long = rng.randint(500, 300_000), rng.choice([90_000, HOUR, DAY])
    made.acts.append(Act(at, "lid", arg=long))
    made.acts.append(Act(at + 200_000, "no more ticks"))


def crowded(rng: random.Random, made: Scenario) -> None:
    """Many runs that share one place, leave it again and again, and processes that stand still as they do."""
    program = rng.choice(_mine(made))
    program.on, program.when, program.threads = EVENTS[0], None, False
    program.flow = {"concurrency": [[1, None, rng.choice(["function", "app"]), "steps"]]}
    program.ops = [each for n in range(5) for each in (["run", f"in{n}", 0], ["sleep", f"out{n}", 10])]
    at = rng.randint(0, 60_000)
    for n in range(rng.randint(2, 6)):
        made.sent.append(Sent(at + rng.randint(0, 2_000), EVENTS[0], rng.choice(USERS), 7_000 + n))
    made.faults, made.stalls = max(made.faults, 0.3), rng.choice([20, 40])


def given_up(rng: random.Random, made: Scenario) -> None:
    """A wait that loses a race, and later another one for the same event, which comes in between."""
    program = rng.choice(_mine(made))
    program.is_async, program.on, program.when = True, EVENTS[0], None
    loser: list[Op] = [["wait", "lost", "e/news", "all", 400_000, rng.random() < 0.5]]
    won: list[Op] = [["sleep", "won", 1_500]]
    again: list[Op] = [
        ["sleep", "rest", 10_000],
        ["wait", "anew", "e/news", "all", rng.choice([30_000, 400_000]), True],
    ]
    program.ops[:0] = [["race", "gives", [loser, won]], *again]
    made.sent.append(Sent(0, EVENTS[0], USERS[0], 8_000))
    made.sent += [Sent(rng.randint(2_000, 20_000), "e/news", rng.choice(USERS), 8_001 + n) for n in range(2)]


def calm(rng: random.Random, made: Scenario) -> None:
    """Nothing fails, and nobody stands still."""
    made.faults = made.stalls = 0


def years(rng: random.Random, made: Scenario) -> None:
    """Runs that take a year: many long sleeps, and waits that end by their timeouts."""
    program = rng.choice(_mine(made))
    kind = rng.choice(["months", "weeks", "wait", "ahead"])
    if kind == "months":
        program.ops = [["run", "y", 0], *(["sleep", f"m{n}", 30 * DAY] for n in range(5)), ["run", "z", 0]]
    elif kind == "weeks":
        program.ops = [["run", "y", 0], *(["sleep", f"w{n}", 7 * DAY] for n in range(14)), ["run", "z", 0]]
    elif kind == "wait":
        program.ops = [["run", "y", 0], ["wait", "long", "e/never", "all", 100 * DAY, True], ["map", "m", 3, None]]
    else:
        program.ops = [["sleep", "y", 70 * DAY], ["run", "z", 0]]
        made.sent.append(Sent(1_000, EVENTS[0], USERS[0], 9_000, ahead=100 * DAY))
    program.on, program.when, program.finish, program.cancel_on = EVENTS[0], None, None, None


def _mine(made: Scenario) -> list[Program]:
    return made.programs[2:]


def _put(rng: random.Random, program: Program, op: Op) -> None:
    program.ops.insert(rng.randint(0, len(program.ops)), op)


def _finally(made: Scenario) -> None:
    """In the end whatever is still open is cancelled, so that every run ends."""
    if not any(act.do == "cancel all" for act in made.acts):
        made.acts.append(Act(DAY, "cancel all"))


FAST = ("local", "sync", "aws")  # where thousands of calls are a second

LAYERS: Sequence[Layer] = (
    Layer(bursts, 0.3),
    Layer(ahead, 0.2),
    Layer(races, 0.25),
    Layer(threads, 0.2),
    Layer(crowded, 0.1, FAST),
    Layer(given_up, 0.1, FAST),
    Layer(ids, 0.1),
    Layer(waits, 0.2, FAST),
    Layer(named_times, 0.15),
    Layer(patient, 0.15),
    Layer(large, 0.1, FAST),
    Layer(maps, 0.1, FAST),
    Layer(timeouts, 0.15),
    Layer(cancels, 0.3),
    Layer(reruns, 0.25),
    Layer(years, 0.5, ("moto",)),
    Layer(deploys, 0.25),  # last of those that change a program: what it deploys are copies
    Layer(calm, 0.05),
    Layer(clocks, 0.2, ("sync",)),
    Layer(lids, 0.2, ("sync",)),
)

# What the engine does not hold yet, and `--all` draws all the same.
PENDING: set[Any] = set()
