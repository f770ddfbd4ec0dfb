from __future__ import annotations

import msgspec
import pytest

from tidemill import App, Concurrency, Context, Cron, DeclarationError, Event, Timeouts, manifest


def _anything(_: Context) -> None: ...


def test_functions_of_several_apps_sorted_by_id() -> None:
    shop, mail = App("shop"), App("mail")
    shop.function(id="b", on_failure=_anything)(_anything)
    shop.function(id="a")(_anything)
    mail.function(id="z")(_anything)
    assert [spec.id for spec in manifest.specs(shop, mail)] == ["mail.z", "shop.a", "shop.b", "shop.b-failure"]


def test_one_app_name_twice() -> None:
    with pytest.raises(DeclarationError, match=r"^App\('shop'\): two apps have this name"):
        manifest.specs(App("shop"), App("mail"), App("shop"))


def test_every_field_is_written_out_and_read_back() -> None:
    app = App("shop")
    app.function(
        on=[Event("a", when="event.data.x"), Cron("0 9 * * *")],
        id="pay",
        concurrency=Concurrency(1),
        timeouts=Timeouts(start="1h"),
    )(_anything)
    text = manifest.encode(manifest.specs(app))
    assert msgspec.json.decode(text) == [
        {
            "id": "shop.pay",
            "app": "shop",
            "name": "_anything",
            "triggers": [
                {"type": "event", "name": "a", "when": "event.data.x"},
                {"type": "cron", "cron": "0 9 * * *", "timezone": "UTC", "jitter": 0},
            ],
            "retries": 4,
            "backoff": {"first": 1000, "factor": 2.0, "cap": 3600000},
            "cancel_on": [],
            "timeouts": {"start": 3600000, "finish": None},
            "on_failure": None,
            "flow": {"concurrency": [{"limit": 1, "scope": "function", "counts": "steps"}]},
            "versions": "pinned",
            "pattern": {"source": ["tidemill"], "detail": {"data": {"x": [True]}, "name": ["a"]}},
        }
    ]
    assert manifest.decode(text) == manifest.specs(app)
