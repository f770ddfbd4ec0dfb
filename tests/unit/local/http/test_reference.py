"""The HTTP reference that `tidemill dev` shows at `/docs`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from cli_server import MemoryServer

from tidemill import App
from tidemill_lambdas.api import about
from tidemill_local.http import reference
from tidemill_local.http.payload import Answer, request_payload

DOCUMENT = json.loads(about.document())
PAGE = reference.page(DOCUMENT)
VOID = {"meta"}


class Reader(HTMLParser):
    """Collects what the page holds; a tag that is closed in the wrong order fails."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def read() -> Reader:
    reader = Reader()
    reader.feed(PAGE)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    server = MemoryServer(App("shop"))
    yield server
    server.close()


def ask(server: MemoryServer, method: str) -> Answer:
    return server.answer(request_payload(method.encode(), b"/docs", {b"host": b"127.0.0.1"}, b"", "127.0.0.1"))


def test_every_call_and_every_object_is_shown(read: Reader) -> None:
    text = "".join(read.words)
    for path, methods in DOCUMENT["paths"].items():
        for method, call in methods.items():
            assert call["operationId"] in read.ids
            assert f"{method.upper()} {path}" in text
            for parameter in call.get("parameters", ()):
                assert parameter["description"].replace("`", "") in text
            kinds = call.get("requestBody", {}).get("content", {})
            assert [kind for kind in kinds if len(kinds) > 1 and f"<code>{kind}</code>" not in PAGE] == []
            assert [status for status in call["responses"] if f"<strong>{status}</strong>" not in PAGE] == []
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert name in read.ids
        assert [field for field in schema.get("properties", ()) if f"<code>{field}</code>" not in PAGE] == []


def test_every_link_stays_on_the_page(read: Reader) -> None:
    links = [value for name, value in read.attributes if name in ("href", "src")]
    assert links
    assert [link for link in links if link.removeprefix("#") not in read.ids] == []
    assert len(read.ids) == len(set(read.ids))


def test_the_page_runs_nothing_and_loads_nothing(read: Reader) -> None:
    assert not read.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert [name for name, _ in read.attributes if name.startswith("on") or name == "style"] == []
    assert "url(" not in reference.style()
    assert "@import" not in reference.style()


def test_the_policy_allows_the_page_s_own_style_alone() -> None:
    policy = reference.headers()["content-security-policy"].split("; ")
    (style,) = re.findall("<style>(.*?)</style>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "frame-ancestors 'none'" in policy


def test_what_the_document_says_is_text_and_no_markup() -> None:
    hostile = json.loads(json.dumps(DOCUMENT).replace("Runs, newest first", "<script>alert(1)</script> `<b>`"))
    page = reference.page(hostile)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;b&gt;</code>" in page


def test_the_dev_server_answers_docs(server: MemoryServer) -> None:
    answer = ask(server, "GET")
    assert (answer.status, answer.body.decode()) == (200, PAGE)
    assert answer.headers == reference.headers()
    assert ask(server, "HEAD").status == 200
    assert ask(server, "POST").status == 404
