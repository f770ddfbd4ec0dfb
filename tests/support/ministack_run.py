"""Runs ministack as a mill's account: started by emulator.py with the Python of `.ministack/`, imported by no test.

What it adds to ministack, all of it in this file:
- every decision of its IAM is written to a file: whose role, which action, on what, allowed or not;
- a request counts as one over TLS, which queues and buckets insist on;
- a schedule's ARN holds its group, where its IAM takes every group for `default`;
- the `Ref` of a secret is its ARN, and one generated without punctuation has none;
- a rotation begins with an empty version, which the Lambda is to fill (whoever asked for it calls the Lambda);
- schedules are looked at each second, not every ten (real ones are precise to a minute; a test has no minute to spare);
- a Lambda is given the client context that it was invoked with;
- a schedule's `<aws.scheduler.scheduled-time>` is filled in, as AWS does and ministack does not;
- a Lambda behind an HTTP API takes and gives 6 MiB at most, and a path ends at a `?` once it is decoded;
- a `DelaySeconds` over 900 is refused;
- it ends when the process that started it ends, however that ends, and its Lambdas with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import string
import time
from pathlib import Path
from typing import Any

_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
_PR_SET_PDEATHSIG = 1
_LAMBDA_BYTES = 6 * 1024 * 1024


def record_decisions(path: str) -> None:
    from ministack.core import iam_evaluator
    from ministack.services import sts

    enforce = iam_evaluator.enforce
    log = Path(path).open("a", buffering=1)  # noqa: SIM115 - a line is written whole; open as long as the process

    def recorded(access_key_id: str, iam_action: str, service: str, region: str, **rest: Any) -> Any:
        denied = enforce(access_key_id, iam_action, service, region, **rest)
        session = sts._sessions.get(access_key_id)
        if session is not None:
            role, _, name = session["Arn"].split(":assumed-role/")[1].partition("/")
            resource = rest.get("resource_arn", "*")
            line = {"role": role, "lambda": name, "action": iam_action, "resource": resource, "allowed": denied is None}
            log.write(json.dumps(line) + "\n")
        return denied

    iam_evaluator.enforce = recorded


def count_as_tls() -> None:
    from ministack.core import iam_evaluator

    pin = iam_evaluator.pin_request_origin
    iam_evaluator.pin_request_origin = lambda source_ip, secure_transport: pin(source_ip, True)


def name_schedules_by_group() -> None:
    from ministack.core import iam_actions

    extract = iam_actions.extract_resource_arn

    def extracted(*asked: Any) -> str:
        body, query = asked[4:6]
        arn: str = extract(*asked)
        if ":schedule/default/" in arn:
            named = json.loads(body or b"{}").get("GroupName") or query.get("groupName") or "default"
            group = named[0] if isinstance(named, list) else named
            arn = arn.replace(":schedule/default/", f":schedule/{group}/")
        return arn

    iam_actions.extract_resource_arn = extracted


def make_secrets_as_aws_does() -> None:
    from ministack.services.cloudformation import provisioners

    handler = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create = handler["create"]

    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        generate = props.get("GenerateSecretString", {})
        if generate.get("ExcludePunctuation"):
            props = {**props, "GenerateSecretString": {**generate, "ExcludeCharacters": string.punctuation}}
        _, attributes = create(logical_id, props, stack_name)
        return attributes["Arn"], attributes

    handler["create"] = created


def rotate_from_an_empty_version() -> None:
    from ministack.core.responses import error_response_json, json_response
    from ministack.services import secretsmanager

    get = secretsmanager._get_secret_value

    def rotated(data: dict[str, Any]) -> Any:
        _, secret = secretsmanager._resolve(data["SecretId"])
        version = {
            "SecretString": None,
            "SecretBinary": None,
            "CreatedDate": int(time.time()),
            "Stages": ["AWSPENDING"],
        }
        secret["Versions"][data["ClientRequestToken"]] = version
        secret["RotationEnabled"] = True
        return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": data["ClientRequestToken"]})

    def got(data: dict[str, Any]) -> Any:
        answer = get(data)
        if answer[0] == 200 and "SecretString" not in json.loads(answer[2]):
            return error_response_json("ResourceNotFoundException", "This version of the secret has no value.", 400)
        return answer

    secretsmanager._rotate_secret = rotated
    secretsmanager._get_secret_value = got


def look_at_schedules_each_second() -> None:
    from ministack.services import eventbridge, scheduler

    scheduler._SCHEDULE_TICK_INTERVAL = 1
    invoke = eventbridge._invoke_target

    def with_time(target: dict[str, Any], event: dict[str, Any], rule: Any, view: Any = None) -> None:
        if event.get("Source") == "aws.scheduler" and _SCHEDULED_TIME in target.get("Input", ""):
            at = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(event["Time"]))
            target = {**target, "Input": target["Input"].replace(_SCHEDULED_TIME, at)}
        invoke(target, event, rule, view)

    eventbridge._invoke_target = with_time


def hand_on_client_contexts() -> None:
    """Beside the payload, by the one field of its own that ministack lets a caller fill."""
    import base64
    from contextvars import ContextVar

    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    given: ContextVar[str] = ContextVar("given", default="")
    invoke, run = lambda_svc._invoke, lambda_runtime.Worker.invoke

    async def invoked(name: str, event: Any, headers: dict[str, str], *rest: Any, **more: Any) -> Any:
        given.set(headers.get("x-amz-client-context", ""))
        return await invoke(name, event, headers, *rest, **more)

    def ran(self: Any, *rest: Any, **more: Any) -> Any:
        if given.get():
            context = json.loads(base64.b64decode(given.get()))
            more["durable"] = {**(more.get("durable") or {}), "client_context": context}
        return run(self, *rest, **more)

    lambda_svc._invoke, lambda_runtime.Worker.invoke = invoked, ran
    made = '"client_context": None,'
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    assert script.count(made) == 1
    given_now = '(_ms_ctx.get("durable") or {}).get("client_context")'
    fields = '{"custom": None, "env": None, "client": None, **' + given_now + "}"
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(
        made, f'"client_context": type("ClientContext", (), {fields})() if {given_now} else None,'
    )


def limit_what_lambdas_take_and_give() -> None:
    """An HTTP API's event and its answer have 6 MiB at most, and a path ends at a `?` once it is decoded."""
    from ministack.services import apigateway, lambda_svc

    invoke, shaped = apigateway._invoke_lambda_proxy, lambda_svc.lambda_execute_result_to_api_proxy_response

    async def invoked(*asked: Any, **more: Any) -> Any:
        integration, api_id, stage, path, method, headers, body, *rest = asked
        text = apigateway._v2_request_body_is_text(headers.get("content-type"))
        size = len(json.dumps(body.decode("utf-8", "replace"))) if text and body else len(body or b"") * 4 // 3
        if size > _LAMBDA_BYTES:
            return 413, {"Content-Type": "application/json"}, b'{"message":"Request Entity Too Large"}'
        path = path.partition("?")[0]
        return await invoke(integration, api_id, stage, path, method, headers, body, *rest, **more)

    def answered(result: dict[str, Any]) -> Any:
        response, problem = shaped(result)
        if len(json.dumps(response)) > _LAMBDA_BYTES:
            return {"statusCode": 502, "body": '{"message":"Internal Server Error"}'}, None
        return response, problem

    apigateway._invoke_lambda_proxy = invoked
    lambda_svc.lambda_execute_result_to_api_proxy_response = answered


def refuse_long_delays() -> None:
    from ministack.services import sqs

    send = sqs._act_send_message

    def sent(data: dict[str, Any], url: str) -> dict[str, Any]:
        delay = int(data.get("DelaySeconds") or 0)
        if not 0 <= delay <= 900:
            raise sqs._Err("InvalidParameterValue", f"Value {delay} for parameter DelaySeconds is invalid.")
        return send(data, url)

    sqs._act_send_message = sqs._HANDLERS["SendMessage"] = sent


def main() -> None:
    parent = int(os.environ.pop("E2E_PARENT"))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return
    count_as_tls()
    record_decisions(os.environ.pop("E2E_DECISIONS"))
    name_schedules_by_group()
    make_secrets_as_aws_does()
    rotate_from_an_empty_version()
    look_at_schedules_each_second()
    hand_on_client_contexts()
    limit_what_lambdas_take_and_give()
    refuse_long_delays()
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
