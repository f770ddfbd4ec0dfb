"""Flow control as `cdk synth` deploys it: in processes of Lambdas, which take messages in any order and at any time."""

from __future__ import annotations

from itertools import pairwise

from support.emulator import eventually

DESK = "stories.desk"


def one_after_the_other(spans):
    return all(end <= begin for (_, end), (begin, _) in pairwise(sorted(spans)))


def places(deployment):
    [limit] = deployment.get(f"/v1/functions/{DESK}")["places"]
    return limit


def test_one_at_a_time_for_each_key_the_urgent_first_and_who_waits_is_told_why(deployment):
    def visit(desk: str, lasts: float | str, urgent: bool = False) -> str:
        return deployment.send("story/desk", {"desk": desk, "urgent": urgent, "for": lasts})

    places(deployment)  # so that who looks is there when it is needed
    first = visit("a", "until told")
    deployment.at("waiting", first, DESK)
    waiting = [visit("a", 0) for _ in range(2)]
    urgent, other = visit("a", 0, urgent=True), visit("b", 0)
    queued = [deployment.until(event, DESK, lambda run: run["reason"]) for event in (*waiting, urgent)]
    assert all("'a'" in run["reason"] for run in queued)
    assert {run["status"] for run in queued} == {"scheduled"}
    limit = eventually(lambda: (now := places(deployment))["waiting"] and now)
    assert (limit["limit"], limit["key"]) == (1, "event.data.desk")
    assert [key["used"] for key in limit["keys"] if key["value"] == "a"] == [1]
    deployment.output(other, DESK, within=90)  # nobody at another desk waits for these
    deployment.send("story/desk.closing", {"desk": "a"})

    spans = {event: deployment.output(event, DESK, within=90) for event in (first, *waiting, urgent, other)}
    assert one_after_the_other([spans[event] for event in (first, *waiting, urgent)])
    assert spans[urgent][0] < min(spans[event][0] for event in waiting)
    assert spans[other][1] < spans[first][1]
    assert eventually(lambda: "a" not in [key["value"] for key in places(deployment)["keys"]])


def test_a_holder_that_is_killed_costs_no_place(deployment, begun):
    """It comes back by its own message and holds its place on; whoever waits gets it after that."""
    killed = deployment.output(begun["dying"], DESK, within=120)
    behind = deployment.output(begun["behind"], DESK, within=120)
    assert len(deployment.noted(f"desk-{begun['dying']}")) == 2
    assert len(deployment.noted(f"desk-{begun['behind']}")) == 1
    assert one_after_the_other([killed, behind])


def test_a_debounce_gives_the_code_the_last_event_after_a_silence(deployment):
    sent = [deployment.send("story/typed", {"page": "p1", "text": text}) for text in ("h", "he", "hello")]
    run = deployment.at("completed", sent[0], "stories.typed")
    assert run["output"] == "hello"
    assert sorted(run["event_ids"]) == sorted(sent)
    assert {deployment.run(event, "stories.typed")["run_id"] for event in sent} == {run["run_id"]}


def test_a_throttle_spaces_the_starts(deployment):
    sent = [deployment.send("story/paced") for _ in range(3)]
    begun = sorted(deployment.output(event, "stories.paced") for event in sent)
    assert all(later - earlier > 2.5 for earlier, later in pairwise(begun))


def test_eight_edits_of_one_document_in_one_request_make_one_run(deployment):
    sent = deployment.send_all([{"name": "story/typed", "data": {"page": "burst", "text": str(n)}} for n in range(8)])
    runs = {deployment.at("completed", event, "stories.typed")["run_id"] for event in sent}
    assert len(runs) == 1
    assert len(deployment.run(sent[0], "stories.typed")["event_ids"]) == 8


def test_five_events_in_one_request_make_one_batch_of_five(deployment):
    sent = deployment.send_all([{"name": "story/counted", "data": {"n": n}} for n in range(5)])
    runs = {deployment.at("completed", event, "stories.counted")["run_id"] for event in sent}
    assert len(runs) == 1
    assert deployment.run(sent[0], "stories.counted")["output"] == 5
