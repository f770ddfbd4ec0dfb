"""Keys that Secrets Manager keeps (moto's, in this process): read, cached, rotated with an overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tidemill.aws.calls.client import Client, Reply, Request
from tidemill.aws.secrets import AGAIN, KEPT, Secret
from tidemill.errors import Unavailable
from tidemill_lambdas.keys.entry import rotate
from tidemill_lambdas.keys.stored import StoredKeys
from tidemill_local.testing import moto

FIRST = "first-key-of-the-mill-0123456789abcdef"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


@dataclass
class Wire:
    """moto behind a wire that counts, and can be cut."""

    inner: moto.MotoTransport = field(default_factory=moto.MotoTransport)
    calls: list[str] = field(default_factory=list[str])
    cut: bool = False

    def __call__(self, request: Request) -> Reply:
        if self.cut:
            raise TimeoutError
        self.calls.append(request.operation)
        return self.inner(request)


@dataclass
class Keys:
    """One secret, and a clock."""

    wire: Wire
    client: Client
    arn: str
    now: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        self.stored = StoredKeys(event_keys=Secret(self.client, self.arn, lambda: self.now))

    def rotate(self, *steps: str) -> str:
        self.made += 1
        version = f"{self.made:08d}-0000-0000-0000-000000000000"
        body = {
            "SecretId": self.arn,
            "ClientRequestToken": version,
            "SecretString": "",
            "VersionStages": ["AWSPENDING"],
        }
        key = f"key-number-{self.made}-{'x' * 32}"
        for step in steps or STEPS:
            stages = self.client.call("secretsmanager", "DescribeSecret", {"SecretId": self.arn})["VersionIdsToStages"]
            if version not in stages:  # as Secrets Manager does when it starts a rotation, but there without a value
                body["SecretString"] = key
                self.client.call("secretsmanager", "PutSecretValue", body)
            rotate(self.client, step, self.arn, version, lambda _: key)
        return key


@pytest.fixture
def keys() -> Keys:
    wire = Wire()
    client = moto.client(wire, sleep=lambda _: None)
    made = client.call("secretsmanager", "CreateSecret", {"Name": moto.fresh("keys"), "SecretString": FIRST})
    return Keys(wire, client, made["ARN"])


def test_the_key_opens_and_others_do_not(keys: Keys) -> None:
    assert keys.stored.may_send(FIRST)
    assert not keys.stored.may_send(FIRST[:-1])
    assert not keys.stored.may_send("")
    assert not keys.stored.may_act(FIRST)  # a key for events acts on nothing


def test_a_known_key_is_not_asked_for_again_within_a_minute(keys: Keys) -> None:
    keys.stored.may_send(FIRST)
    keys.wire.calls.clear()
    keys.now += KEPT - 1
    assert keys.stored.may_send(FIRST)
    assert keys.wire.calls == []
    keys.now += 1
    assert keys.stored.may_send(FIRST)
    assert keys.wire.calls == ["GetSecretValue"] * 2


def test_guessing_asks_no_more_than_every_few_seconds(keys: Keys) -> None:
    keys.stored.may_send(FIRST)
    keys.now += AGAIN
    keys.wire.calls.clear()
    for _ in range(100):
        assert not keys.stored.may_send("guess")
    assert keys.wire.calls == ["GetSecretValue"] * 2


def test_a_new_key_opens_at_the_first_try_and_the_one_before_it_still_does(keys: Keys) -> None:
    keys.stored.may_send(FIRST)
    second = keys.rotate()
    keys.now += AGAIN
    assert keys.stored.may_send(second)
    assert keys.stored.may_send(FIRST)
    third = keys.rotate()
    keys.now += KEPT
    assert keys.stored.may_send(third)
    assert keys.stored.may_send(second)
    assert not keys.stored.may_send(FIRST)


def test_a_key_that_is_not_tested_yet_does_not_open(keys: Keys) -> None:
    pending = keys.rotate("createSecret", "setSecret", "testSecret")
    assert not keys.stored.may_send(pending)


def test_every_step_may_be_done_twice(keys: Keys) -> None:
    second = keys.rotate(*[step for step in STEPS for _ in range(2)])
    assert keys.stored.may_send(second)
    assert keys.stored.may_send(FIRST)


def test_known_keys_stay_good_while_secrets_manager_does_not_answer(keys: Keys) -> None:
    keys.stored.may_send(FIRST)
    keys.wire.cut = True
    keys.now += KEPT
    assert keys.stored.may_send(FIRST)


def test_without_any_key_the_door_says_try_again(keys: Keys) -> None:
    keys.wire.cut = True
    with pytest.raises(Unavailable):
        keys.stored.may_send(FIRST)


def test_a_version_that_secrets_manager_does_not_know_is_refused(keys: Keys) -> None:
    with pytest.raises(ValueError, match="has no version"):
        rotate(keys.client, "createSecret", keys.arn, "99999999-0000-0000-0000-000000000000")


def test_a_generated_key_fits_a_path_and_has_256_bits(keys: Keys) -> None:
    client = keys.client
    version = "00000077-0000-0000-0000-000000000000"
    made: list[str] = []

    class Started:
        """Secrets Manager, once it has started a rotation: the version is there, and has no value yet."""

        def call(self, service: str, operation: str, body: dict[str, str]) -> dict[str, object]:
            if operation == "DescribeSecret":
                return {"VersionIdsToStages": {version: ["AWSPENDING"]}}
            if operation == "PutSecretValue":
                made.append(body["SecretString"])
            return client.call(service, operation, body)

    rotate(Started(), "createSecret", keys.arn, version)  # type: ignore[arg-type]
    rotate(client, "testSecret", keys.arn, version)
    (key,) = made
    assert len(key) == 43
    assert key.replace("-", "").replace("_", "").isalnum()
