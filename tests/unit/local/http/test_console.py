"""The console's files as `tidemill dev` answers them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest
from cli_server import MemoryServer

from tidemill import App
from tidemill_local.http import console
from tidemill_local.http.payload import Answer, request_payload

PATHS = ("/", "/console.js", "/console.css")


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    server = MemoryServer(App("shop"))
    yield server
    server.close()


def ask(server: MemoryServer, method: str, path: str) -> Answer:
    return server.answer(request_payload(method.encode(), path.encode(), {b"host": b"127.0.0.1"}, b"", "127.0.0.1"))


@pytest.mark.parametrize("path", PATHS)
def test_each_file_is_answered_under_a_strict_policy(server: MemoryServer, path: str) -> None:
    answer = ask(server, "GET", path)
    assert answer.status == 200
    assert answer.body
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert ask(server, "HEAD", path).status == 200
    assert ask(server, "POST", path).status == 404


def test_no_other_file_is_answered(server: MemoryServer) -> None:
    for path in ("/index.html", "/console.py", "/page/console.js", "/../console.py"):
        assert ask(server, "GET", path).status == 404


def test_the_page_names_only_files_that_are_answered() -> None:
    page = (console.file("/") or (b"", {}))[0].decode()
    named = re.findall(r'(?:src|href)="\./([^"]+)"', page)
    assert sorted(f"/{name}" for name in named) == sorted(PATHS[1:])
    assert "http" not in page


def test_the_first_load_is_at_most_250_kb() -> None:
    loaded = [console.file(path) for path in PATHS]
    assert sum(len(gzip.compress(found[0])) for found in loaded if found) <= 250_000
