"""Each alarm looks at a metric that somebody writes, with the dimensions and in the unit in which it is written."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from cdk.policies import resolved

from tidemill.aws.function.metrics import Metrics
from tidemill_lambdas.observe import Counts

ROOT = Path(__file__).parents[2]
MINUTE, SECOND = 60_000, 1_000
ABOVE, QUIET = "GreaterThanThreshold", "notBreaching"
# Alarm: metric, statistic, threshold, periods of five minutes; a value that just rings, and one that just does not.
OURS = {
    "DeadLetters": ("DeadLetters", "Sum", 0, 1, 1, 0),
    "DeadLettersAdopted": ("DeadLettersAdopted", "Sum", 0, 1, 1, 0),
    "EventsRejected": ("EventsRejected", "Sum", 0, 1, 1, 0),
    "SweeperFound": ("SweeperFound", "Sum", 0, 3, 1, 0),
    "QueueAge": ("QueueAge", "p99", 5 * MINUTE, 3, 5 * MINUTE + 1, 5 * MINUTE),
    "WakeUpLateness": ("WakeUpLateness", "p99", 30 * SECOND, 3, 30 * SECOND + 1, 30 * SECOND),
}
LATE = {"QueueAge", "WakeUpLateness"}  # what is measured in time
OF_QUEUES = {
    "DeadEvents": ("EventsQueuesDead", "ApproximateNumberOfMessagesVisible", 0),
    "DeadTimers": ("TimersQueuesDead", "ApproximateNumberOfMessagesVisible", 0),
    "OldEvents": ("EventsQueuesQueue", "ApproximateAgeOfOldestMessage", 15 * 60),  # SQS counts seconds
    "OldTimers": ("TimersQueuesQueue", "ApproximateAgeOfOldestMessage", 15 * 60),
}


def alarm(template: Any, id: str) -> dict[str, Any]:
    (found,) = [
        one for name, one in template.of("AWS::CloudWatch::Alarm").items() if name[:-8] == f"TidemillAlarms{id}"
    ]  # fmt: skip
    assert (found["ComparisonOperator"], found["TreatMissingData"]) == (ABOVE, QUIET)
    return dict(found)


def test_there_are_no_others(whole: Any) -> None:
    named = {name[:-8].removeprefix("TidemillAlarms") for name in whole.of("AWS::CloudWatch::Alarm")}
    assert named == {*OURS, *OF_QUEUES, "FailureRate", "SweeperErrors"}


@pytest.mark.parametrize("id", OURS)
def test_an_alarm_of_a_metric_of_ours_looks_at_what_is_written(
    whole: Any, id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metric, statistic, threshold, periods, rings, quiet = OURS[id]
    found = alarm(whole, id)
    assert (found["MetricName"], found.get("Statistic", found.get("ExtendedStatistic"))) == (metric, statistic)
    assert (found["Threshold"], found["EvaluationPeriods"], found["Period"]) == (threshold, periods, 300)
    assert quiet <= found["Threshold"] < rings
    for line in written(metric, rings, monkeypatch, capsys):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == found["Namespace"]
        assert directive["Dimensions"] == [[one["Name"] for one in found["Dimensions"]]]
        assert {name: line[name] for name in directive["Dimensions"][0]} == {
            one["Name"]: one["Value"] for one in found["Dimensions"]
        }
        assert directive["Metrics"] == [{"Name": metric, "Unit": "Milliseconds" if metric in LATE else "Count"}]
        value = line[metric]
        assert (value[0] if isinstance(value, list) else value) > found["Threshold"]


def written(
    metric: str, value: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """The line that the executor would write, and that of the platform's Lambdas."""
    monkeypatch.setenv("TIDEMILL_NAME", "prod")
    lines: list[str] = []
    executor, platform = Metrics("prod", lines.append), Counts()
    for metrics in (executor, platform):
        if metric in LATE:
            metrics.time(metric, value)
        else:
            metrics.count(metric, value)
    executor.flush()
    capsys.readouterr()
    platform.flush()
    return [json.loads(line) for line in (*lines, capsys.readouterr().out)]


def test_each_metric_is_written_somewhere_and_in_its_unit(whole: Any) -> None:
    counted, timed = emitted()
    watched = {OURS[id][0] for id in OURS}
    assert watched - LATE <= counted
    assert watched & LATE <= timed
    assert not counted & timed
    drawn = json.dumps([resolved(one["DashboardBody"]) for one in whole.of("AWS::CloudWatch::Dashboard").values()])
    assert {name for name in counted | timed if name in drawn} == counted | timed


def emitted() -> tuple[set[str], set[str]]:
    """The names with which `count` and `time` of metrics are called, in the layer and the Lambdas."""
    found: dict[str, set[str]] = {"count": set(), "time": set()}
    for folder in ("layers/tidemill/python/tidemill", "lambdas"):
        for file in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                if node.func.attr in found and "metrics" in ast.unparse(node.func.value):
                    found[node.func.attr] |= _names(node.args[0], tree)
    return found["count"], found["time"]


def _names(argument: ast.expr, tree: ast.AST) -> set[str]:
    """The texts that an argument may be: itself, one of two, or what a loop in the same module puts in."""
    if isinstance(argument, ast.Name):
        loops = [one for one in ast.walk(tree) if isinstance(one, ast.For) and argument.id in ast.unparse(one.target)]
        texts = [one for loop in loops for one in ast.walk(loop.iter)]
    else:
        texts = list(ast.walk(argument))
    found = {one.value for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return {name for name in found if name[:1].isupper()}


@pytest.mark.parametrize("id", OF_QUEUES)
def test_an_alarm_of_a_queue_looks_at_that_queue(whole: Any, id: str) -> None:
    queue, metric, threshold = OF_QUEUES[id]
    found = alarm(whole, id)
    assert (found["Namespace"], found["MetricName"], found["Threshold"]) == ("AWS/SQS", metric, threshold)
    (dimension,) = found["Dimensions"]
    assert dimension["Name"] == "QueueName"
    assert dimension["Value"]["Fn::GetAtt"][0][:-8] == f"Tidemill{queue}"
    assert (found["Statistic"], found["Period"]) == ("Maximum", 300)


def test_the_alarm_of_the_sweep_looks_at_its_lambda(whole: Any) -> None:
    found = alarm(whole, "SweeperErrors")
    assert (found["Namespace"], found["MetricName"], found["Threshold"]) == ("AWS/Lambda", "Errors", 0)
    (dimension,) = found["Dimensions"]
    function = whole.of("AWS::Lambda::Function")[dimension["Value"]["Ref"]]
    assert (dimension["Name"], function["Handler"]) == ("FunctionName", "tidemill_lambdas.sweeper.entry.handler")


def test_the_rate_of_failures_is_of_runs_that_ended(whole: Any) -> None:
    found = alarm(whole, "FailureRate")
    assert (found["Threshold"], found["EvaluationPeriods"]) == (10, 3)
    (formula,) = [one["Expression"] for one in found["Metrics"] if "Expression" in one]
    stats = {one["Id"]: one["MetricStat"] for one in found["Metrics"] if "MetricStat" in one}
    assert {id: one["Metric"]["MetricName"] for id, one in stats.items()} == {
        "failed": "RunsFailed", "completed": "RunsCompleted",
    }  # fmt: skip
    assert {"RunsFailed", "RunsCompleted"} <= emitted()[0]
    for one in stats.values():
        assert (one["Stat"], one["Metric"]["Namespace"]) == ("Sum", "Tidemill")
        assert one["Metric"]["Dimensions"] == [{"Name": "mill", "Value": "prod"}]
    for failed, completed, percent in ((2, 10, 100 * 2 / 12), (1, 9, 10), (5, 4, 0), (10, 0, 100), (0, 0, 0)):
        assert evaluated(formula, failed, completed) == pytest.approx(percent)


def evaluated(formula: str, failed: int, completed: int) -> float:
    """CloudWatch's arithmetic, for the functions that the formula uses; a division by zero is no value."""
    names = {
        "failed": failed,
        "completed": completed,
        "FILL": lambda value, _: value,
        "IF": lambda a, b, c: b if a else c,
    }
    try:
        return float(eval(formula, {"__builtins__": {}}, names))
    except ZeroDivisionError:
        return 0.0
