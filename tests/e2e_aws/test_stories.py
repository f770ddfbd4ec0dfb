"""The stories, told by what `cdk synth` makes: over HTTP, through a bus and queues, in processes of Lambdas."""

from __future__ import annotations

import calendar
import http.server
import json
import threading
import time
import uuid
from urllib.parse import urlsplit

import msgspec
import pytest
from e2e_aws.deployed import Deployed
from support.emulator import ACCOUNT, eventually

from tidemill.aws.settings import dead_letter_name, queue_name
from tidemill.limits import NEWS
from tidemill.model import EventTrigger, FunctionSpec

WORKS = 12  # seconds of a step, if no other branch goes on: its Lambda has a few more


def messages(deployment: Deployed, queue: str) -> list[dict]:
    sqs = deployment.emulator.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    return sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, MaxNumberOfMessages=10).get("Messages", [])


# ---- events -------------------------------------------------------------------------------------


def test_one_event_starts_every_function_that_listens_and_no_other(deployment):
    small = deployment.send("order/placed", {"order": 1, "total": 5, "items": ["a"]})
    large = deployment.send("order/placed", {"order": 2, "total": 500, "items": ["a", "b"]})
    assert deployment.output(small, "stories.charge") == {"receipt": "receipt-1", "calls": 1}
    assert deployment.output(large, "stories.charge") == {"receipt": "receipt-2", "calls": 1}
    assert deployment.output(large, "stories.audit") == "audited"
    assert deployment.output(large, "stories.bundle") == 2
    assert deployment.output(small, "legacy")["by"] == "legacy"
    assert sorted(run["function_id"] for run in deployment.runs(small)) == ["legacy", "stories.charge"]


def test_a_lambda_that_knows_nothing_of_it(deployment):
    event = deployment.send("order/placed", {"order": 11, "total": 5, "items": []})
    seen = {"order": 11, "total": 5, "items": []}
    assert deployment.output(event, "legacy") == {"name": "order/placed", "seen": seen, "by": "legacy"}


def test_the_same_id_again_starts_nothing(deployment):
    ids = [deployment.send("order/placed", {"order": 3, "total": 5, "items": []}, id="order-3") for _ in range(2)]
    assert ids == ["order-3", "order-3"]
    deployment.output("order-3", "stories.charge")
    deployment.output("order-3", "legacy")
    again = deployment.send("order/placed", {"order": "another", "total": 5, "items": []}, id="order-3")
    after = deployment.send("order/placed", {"order": 4, "total": 5, "items": []})
    deployment.output(after, "stories.charge")
    assert len(deployment.runs(again)) == 2
    assert deployment.get("/v1/events/order-3")["data"]["order"] == 3
    assert len(deployment.noted("charge-order-3")) == 1


def test_an_event_put_on_the_bus_by_anyone(deployment):
    events = deployment.emulator.client("events")
    put = events.put_events(
        Entries=[
            {
                "EventBusName": f"tidemill-{deployment.name}",
                "Source": "com.example.shop",
                "DetailType": "order/placed",
                "Detail": json.dumps({"order": 7, "total": 7, "items": []}),
            }
        ]
    )
    assert put["FailedEntryCount"] == 0
    event_id = put["Entries"][0]["EventId"]
    assert deployment.output(event_id, "stories.charge") == {"receipt": "receipt-7", "calls": 1}
    assert deployment.get(f"/v1/events/{event_id}")["data"] == {"order": 7, "total": 7, "items": []}


def test_a_webhook_of_other_people(deployment):
    status, answer = deployment.emulator.ask("POST", f"/w/{deployment.event_key}/story/link", {"n": 12})
    assert status == 200, answer
    assert deployment.output(answer["ids"][0], "stories.link") == 12


def test_what_is_wrong_is_refused(deployment):
    status, answer = deployment.emulator.ask("POST", "/e/wrong", {"name": "order/placed"})
    assert (status, answer["status"]) == (401, 401)
    status, answer = deployment.emulator.ask("POST", f"/e/{deployment.event_key}", [{"name": "a"}, {"name": ""}])
    assert (status, [error["index"] for error in answer["errors"]]) == (400, [1])
    assert deployment.emulator.ask("GET", "/v1/runs")[0] == 401
    assert deployment.ask("GET", "/v1/runs/none")[0] == 404


# ---- steps --------------------------------------------------------------------------------------


def test_a_step_is_tried_again_and_the_others_are_not_repeated(deployment, begun):
    run = deployment.at("completed", begun["retry"], "stories.retry")
    assert run["output"] == [1, 3]
    assert run["steps"]["flaky"]["attempts"] == 3


def test_a_failed_run_is_told_to_its_handler_and_no_message_is_dead(deployment):
    event = deployment.send("story/fail")
    failed = deployment.at("failed", event, "stories.fail")
    assert (failed["error"]["message"], failed["error"]["step_id"]) == ("the card was declined", "pay")

    def handled():
        runs = deployment.get("/v1/runs?function=stories.fail-failure")
        return [run for run in runs if run["status"] == "completed"]

    assert eventually(handled)[0]["output"] == "sorry: the card was declined"
    assert messages(deployment, dead_letter_name(deployment.name, "stories.fail")) == []


def test_invoke_and_its_failure(deployment):
    output = deployment.output(deployment.send("story/invoke"), "stories.invoke")
    assert (output[0], len(output)) == (42, 2)
    assert "a negative number" in output[1]


def test_branches_beside_each_other(deployment):
    assert deployment.output(deployment.send("story/parallel"), "stories.parallel") == [1, "slow", 6]


def test_a_map_over_many_items(deployment):
    items = 40
    output = deployment.output(deployment.send("story/map", {"items": items}), "stories.spread")
    assert output == sum(item * item for item in range(items))


def test_events_from_code(deployment):
    sent = deployment.output(deployment.send("story/chain"), "stories.chain")
    assert [deployment.output(event, "stories.link") for event in sent] == [0, 1, 2, 9]


# ---- time ---------------------------------------------------------------------------------------


def test_a_sleep_of_seconds_is_a_delayed_message(deployment, begun):
    """Never early; how late, the simulation says: here eight stories begin at once, on whatever machine this is."""
    slept = deployment.output(begun["sleep"], "stories.sleep")
    assert 4 <= slept < 4 + 15


def test_a_sleep_of_hours_is_a_schedule_that_goes_with_its_run(deployment):
    before = int(time.time())
    event = deployment.send("story/cancel", {"id": "by hand"})
    run = deployment.at("sleeping", event, "stories.cancelled")
    [schedule] = eventually(lambda: schedules(deployment, run["run_id"]))
    wake = time.strptime(schedule["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)")
    assert before + 7200 - 130 <= calendar.timegm(wake) <= before + 7200
    assert schedule["ActionAfterCompletion"] == "DELETE"
    status, answer = deployment.ask("DELETE", f"/v1/runs/{run['run_id']}")
    assert (status, answer["data"]["status"]) == (200, "cancelled")
    assert deployment.ask("DELETE", f"/v1/runs/{run['run_id']}")[0] == 409
    eventually(lambda: not schedules(deployment, run["run_id"]))


def schedules(deployment, run_id: str) -> list[dict]:
    scheduler = deployment.emulator.client("scheduler")
    group = f"tidemill-{deployment.name}"
    found = [
        scheduler.get_schedule(GroupName=group, Name=each["Name"])
        for each in scheduler.list_schedules(GroupName=group)["Schedules"]
    ]
    return [schedule for schedule in found if run_id in schedule["Target"]["Input"]]


def test_what_a_schedule_sends_wakes_the_run(deployment):
    event = deployment.send("story/sleep", {"for": "20m"})
    run = deployment.at("sleeping", event, "stories.sleep")
    [schedule] = eventually(lambda: schedules(deployment, run["run_id"]))
    said = json.loads(schedule["Target"]["Input"])
    assert schedule["Target"]["Arn"].endswith(f":tidemill-{deployment.name}_timers")
    # As if it were over: the run looks for itself, and sleeps on.
    sqs = deployment.emulator.client("sqs")
    url = sqs.get_queue_url(QueueName=f"tidemill-{deployment.name}_timers")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({**said, "at": int(time.time() * 1000)}))
    time.sleep(3)
    assert deployment.run_of(run["run_id"])["status"] == "sleeping"
    deployment.ask("DELETE", f"/v1/runs/{run['run_id']}")


# ---- waiting ------------------------------------------------------------------------------------


def test_the_matching_event_wakes_the_run_and_no_other(deployment):
    first, second = (deployment.send("story/wait", {"draft": draft, "timeout": "10m"}) for draft in ("w1", "w2"))
    deployment.at("waiting", first, "stories.wait")
    deployment.at("waiting", second, "stories.wait")
    deployment.send("story/approved", {"draft": "w1", "by": "ann"})
    assert deployment.output(first, "stories.wait") == {"draft": "w1", "by": "ann"}
    assert deployment.run(second, "stories.wait")["status"] == "waiting"


def test_an_event_before_the_wait_is_found(deployment):
    event = deployment.send("story/wait", {"draft": "early", "away": 2, "timeout": "10m"})
    deployment.send("story/approved", {"draft": "early", "by": "bob"})
    assert deployment.output(event, "stories.wait") == {"draft": "early", "by": "bob"}


def test_a_wait_that_nothing_matches_ends_at_its_timeout(deployment, begun):
    assert deployment.output(begun["timeout"], "stories.wait") is None


def test_a_branch_goes_on_within_seconds_while_another_ones_step_works(deployment):
    """Nobody can reach a Lambda at work, so it asks every 5 s; the emulator's machine has others to serve meanwhile."""
    event = deployment.send("story/news", {"news": "n1", "most": WORKS})
    eventually(lambda: deployment.noted(f"working-{event}"))
    called = time.time()
    deployment.send("story/called", {"news": "n1"})
    heard = deployment.output(event, "stories.news")
    assert heard is not None, "the branch went on only when the step had ended"
    assert heard - called < NEWS + 4


def test_an_event_takes_effect_at_its_ts(deployment):
    """It is held back by a message of the events queue; it was sent before its path was awaited, or at least may be."""
    at = int((time.time() + 6) * 1_000)
    deployment.send("story/approved", {"draft": "later", "by": "eve"}, ts=at)
    event = deployment.send("story/wait", {"draft": "later", "timeout": "10m"})
    deployment.at("waiting", event, "stories.wait")
    assert deployment.output(event, "stories.wait") == {"draft": "later", "by": "eve"}
    assert time.time() * 1_000 >= at


def test_a_signal_brings_its_data(deployment):
    event = deployment.send("story/ask", {"id": "7"})
    run = deployment.at("waiting", event, "stories.ask")
    status, answer = deployment.ask("POST", "/v1/signals", {"signal": "answer-7", "data": {"ok": True}})
    assert (status, answer["data"]["run_ids"]) == (200, [run["run_id"]])
    assert deployment.output(event, "stories.ask") == {"ok": True}


def test_an_event_cancels(deployment):
    event = deployment.send("story/cancel", {"id": "w"})
    deployment.at("sleeping", event, "stories.cancelled")
    deployment.send("story/withdrawn", {"id": "another"})
    deployment.send("story/withdrawn", {"id": "w"})
    run = deployment.at("cancelled", event, "stories.cancelled")
    assert "story/withdrawn" in run["reason"]
    assert deployment.noted(f"cancelled-{event}") == []


# ---- processes ----------------------------------------------------------------------------------


def test_a_process_killed_in_mid_step(deployment, begun):
    run = deployment.at("completed", begun["crash"], "stories.crash", within=90)
    assert run["output"] == [1, 2]
    assert run["steps"]["fragile"]["attempts"] == 2
    first, second = deployment.noted(f"fragile-{begun['crash']}")
    assert first != second


def test_a_step_that_overruns_its_lambda_is_tried_again(deployment, begun):
    run = deployment.at("completed", begun["overrun"], "stories.overrun", within=90)
    assert (run["output"], run["steps"]["slow"]["attempts"]) == (2, 2)


def test_a_message_whose_run_kills_every_process_is_dead_and_its_run_has_failed(deployment, begun):
    event = begun["poison"]
    run = deployment.at("failed", event, "stories.poison", within=150)
    assert "the process died 2 times" in run["error"]["message"]
    assert len(deployment.noted(f"poison-{event}")) == 2
    [dead] = eventually(lambda: messages(deployment, dead_letter_name(deployment.name, "stories.poison")), within=60)
    assert run["run_id"] in dead["Body"] or event in dead["Body"]


def test_a_function_longer_than_its_lambda_moves_on(deployment, begun):
    event, parts = begun["long"], 8
    run = deployment.at("completed", event, "stories.long", within=90)
    assert [len(deployment.noted(f"part-{number}-{event}")) for number in range(parts)] == [1] * parts
    assert all(step["attempts"] == 1 for step in run["steps"].values())
    assert sum("handed" in record["type"] for record in run["journal"]) >= 1


# ---- large values -------------------------------------------------------------------------------


def test_a_large_value_goes_to_s3_unseen(deployment, begun):
    run = deployment.at("completed", begun["large"], "stories.large", within=60)
    shown = run["output"]
    assert shown["bytes"] > 900_000
    output = deployment.get(urlsplit(shown["$large"]).path)
    assert (output["length"], output["received"], output["text"][:3]) == (900_000, 700_000, "xxx")


# ---- looking at it ------------------------------------------------------------------------------


def test_lists(deployment):
    sent = [deployment.send("list/me", {"n": n}, user={"id": "lister"}) for n in range(3)]
    runs = [deployment.send("story/link", {"n": n}, user={"id": "lister"}) for n in range(3)]
    for event in runs:
        deployment.output(event, "stories.link")
    eventually(lambda: len(deployment.get("/v1/events?name=list/me")) == 3)
    assert [event["id"] for event in deployment.get("/v1/events?name=list/me")] == sent[::-1]
    _, page = deployment.ask("GET", "/v1/events?name=list/me&limit=2")
    rest = deployment.ask("GET", f"/v1/events?name=list/me&limit=2&cursor={page['cursor']}")[1]
    assert [event["id"] for event in page["data"] + rest["data"]] == sent[::-1]
    listed = eventually(lambda: three(deployment.get("/v1/runs?function=stories.link&user=lister&status=completed")))
    assert [run["event_ids"] for run in listed] == [[event] for event in runs[::-1]]
    assert "stories.link" in [function["id"] for function in deployment.get("/v1/functions")]


def three(runs: list) -> list | None:
    return runs if len(runs) == 3 else None


def test_running_again(deployment):
    event = deployment.send("order/placed", {"order": 9, "total": 1, "items": []})
    first = deployment.at("completed", event, "stories.charge")
    status, answer = deployment.ask("POST", f"/v1/runs/{first['run_id']}/rerun", {"from_step": "count"})
    assert status == 200, answer
    again = eventually(lambda: completed(deployment.run_of(answer["data"]["run_id"])))
    assert again["output"] == {"receipt": "receipt-9", "calls": 2}


def completed(run: dict) -> dict | None:
    return run if run["status"] == "completed" else None


def test_invoking_a_function_over_http(deployment):
    status, answer = deployment.ask("POST", "/v1/functions/stories.double/invoke", {"data": {"n": 4}})
    assert status == 202, answer
    assert eventually(lambda: completed(deployment.run_of(answer["data"]["run_id"])))["output"] == 8


# ---- what AWS does by itself, and the emulator does not -----------------------------------------


@pytest.mark.parametrize("kind", ["event-keys", "api-keys"])
def test_a_key_is_rotated_and_the_one_before_it_stays_good(deployment, kind):
    """As Secrets Manager calls the Lambda: an empty version first, then four steps."""
    emulator = deployment.emulator
    secrets, lambdas = emulator.client("secretsmanager"), emulator.client("lambda")
    secret = secrets.describe_secret(SecretId=f"tidemill/{deployment.name}/{kind}")["ARN"]
    version, name = str(uuid.uuid4()), deployment.lambda_("keys")
    arn = lambdas.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    secrets.rotate_secret(SecretId=secret, ClientRequestToken=version, RotationLambdaARN=arn)
    for _ in range(2):  # each step may come twice
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            event = {"Step": step, "SecretId": secret, "ClientRequestToken": version}
            answer = lambdas.invoke(FunctionName=name, Payload=json.dumps(event))
            assert "FunctionError" not in answer, answer["Payload"].read()
    new = secrets.get_secret_value(SecretId=secret)["SecretString"]
    old, use = (deployment.event_key, sends) if kind == "event-keys" else (deployment.api_key, reads)
    assert new != old
    assert [use(emulator, key) for key in (new, old, new[:-1])] == [200, 200, 401]


def sends(emulator, key: str) -> int:
    return emulator.ask("POST", f"/e/{key}", {"name": "rotated"})[0]


def reads(emulator, key: str) -> int:
    return emulator.ask("GET", "/v1/functions", headers={"Authorization": f"Bearer {key}"})[0]


def test_a_function_that_a_stack_declares_and_takes_away(deployment):
    """As CloudFormation asks its custom resource's Lambda, told the answer by a PUT to an address of its own."""
    spec = FunctionSpec("passing.by", "passing", "By", (EventTrigger("passing/by"),))
    stack = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/Another/1"
    asked = {"StackId": stack, "RequestId": "1", "LogicalResourceId": "Passing"}
    with Answers() as answers:
        create = {
            **asked,
            "RequestType": "Create",
            "ResourceProperties": {"Function": msgspec.json.encode(spec).decode()},
        }
        assert answers.of(deployment, create) == ("SUCCESS", "passing.by")
        assert "passing.by" in [function["id"] for function in deployment.get("/v1/functions")]
        delete = {**asked, "RequestType": "Delete", "PhysicalResourceId": "passing.by", "ResourceProperties": {}}
        assert answers.of(deployment, delete) == ("SUCCESS", "passing.by")
        assert answers.of(deployment, delete) == ("SUCCESS", "passing.by")
        assert "passing.by" not in [function["id"] for function in deployment.get("/v1/functions")]
        nonsense = {**asked, "RequestType": "Create", "ResourceProperties": {"Function": "{}"}}
        assert answers.of(deployment, nonsense)[0] == "FAILED"


class Answers:
    """Takes the answers of a custom resource's Lambda."""

    def __enter__(self) -> Answers:
        taken = self.taken = []

        class Taker(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Taker)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def of(self, deployment, request: dict) -> tuple[str, str]:
        url = f"http://127.0.0.1:{self.server.server_port}/answer"
        deployment.emulator.client("lambda").invoke(
            FunctionName=deployment.lambda_("registry"), Payload=json.dumps({**request, "ResponseURL": url})
        )
        answer = self.taken.pop()
        return answer["Status"], answer["PhysicalResourceId"]


# ---- what takes minutes -------------------------------------------------------------------------


@pytest.mark.slow
def test_cron(deployment):
    runs = eventually(lambda: deployment.get("/v1/runs?function=stories.tick&status=completed"), within=130)
    assert runs[-1]["output"] == 1


@pytest.mark.slow
def test_a_start_that_became_a_dead_letter_becomes_a_run(deployment, begun):
    """As after a deploy whose code could not be loaded: the sweep, which looks every ten minutes, makes a run of it."""

    def adopted():
        runs = deployment.get("/v1/runs?function=stories.link&status=completed")
        return [run for run in runs if run["event_ids"] == [begun["buried"]]]

    assert eventually(adopted, within=660, every=1)[0]["output"] == 5
    assert messages(deployment, dead_letter_name(deployment.name, "stories.link")) == []


@pytest.mark.slow
def test_a_lost_message_is_found_by_the_sweep(deployment):
    event = deployment.send("story/sleep", {"for": 20})
    deployment.at("sleeping", event, "stories.sleep")
    sqs = deployment.emulator.client("sqs")
    sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName=queue_name(deployment.name, "stories.sleep"))["QueueUrl"])
    deployment.at("completed", event, "stories.sleep", within=200)
