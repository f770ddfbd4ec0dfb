"""One limit that two functions share with different places is refused: the smaller would block the larger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidemill import App, Concurrency, Context
from tidemill.core.flow import shared
from tidemill_local.cli import main
from tidemill_local.load import targets


def _declared(one: Any, other: Any) -> list[App]:
    apps = [App("shop"), App("desk")]
    for app, concurrency in zip(apps, (one, other), strict=True):

        @app.function(on="go", concurrency=concurrency)
        def work(ctx: Context) -> None: ...

    return apps


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (Concurrency(1, scope="account"), Concurrency(2, scope="account"), True),
        (Concurrency(1, scope="account"), Concurrency(1, scope="account"), False),
        (Concurrency(1, scope="account", key="'a'"), Concurrency(2, scope="account", key="'b'"), False),
        (Concurrency(1, scope="account", counts="runs"), Concurrency(2, scope="account"), False),
        (Concurrency(1, scope="app"), Concurrency(2, scope="app"), False),  # of two apps
        (Concurrency(1), Concurrency(2), False),
    ],
)
def test_what_clashes(one, other, clash):
    loaded = targets.Targets(apps=_declared(one, other))
    specs = [function.spec for app in loaded.apps for function in app.functions.values()]
    assert bool(shared.clashes(specs)) == clash
    if clash:
        with pytest.raises(targets.TargetError, match=r"desk\.work and shop\.work share one limit of the account"):
            loaded.functions()
    else:
        assert len(loaded.functions()) == 2


def test_two_functions_of_one_app():
    app = App("shop")
    for number in (1, 2):

        @app.function(id=f"f{number}", on="go", concurrency=Concurrency(number, scope="app"))
        def work(ctx: Context) -> None: ...

    ((function_id, sentence),) = shared.clashes(function.spec for function in app.functions.values())
    assert function_id == "shop.f2"
    assert "shop.f1 gives it 1 places and shop.f2 2" in sentence


def test_definitions_that_share_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        definition = {
            "name": f"F{number}",
            "id": f"f{number}",
            "triggers": [{"event": "go"}],
            "concurrency": {"limit": number, "scope": "account"},
            "steps": {"call": {"runtime": {"type": "http", "url": "https://example.com/"}}},
        }
        (tmp_path / f"f{number}.function.json").write_text(json.dumps(definition))
    assert main(["functions", "validate", str(tmp_path)]) == 1
    assert "f1 and f2 share one limit of the account" in capsys.readouterr().out
