"""Makes the HTTP reference: one HTML page from the OpenAPI document, without external files or scripts.

`tidemill dev` answers `/docs` with it, and it is on the documentation's site.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

Node = Mapping[str, Any]  # an object of the document
_CODE = re.compile(r"`([^`]+)`")
_BOUNDS = {
    "default": "default {}", "minimum": "at least {}", "maximum": "at most {}", "minLength": "at least {} characters",
    "maxLength": "at most {} characters", "minItems": "at least {} items", "maxItems": "at most {} items",
}  # fmt: skip


@cache
def style() -> str:
    return Path(__file__).with_suffix(".css").read_text("utf-8")


@cache
def headers() -> Mapping[str, str]:
    """The headers of the answer: the page may use only its own style."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": f"{policy}; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }


def page(document: Node) -> str:
    """The whole page."""
    title = f"{escape(document['info']['title'])}: HTTP API"
    return "\n".join([
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>", f"<style>{style()}</style>", "</head>",
        "<body>", "<main>", f"<h1>{title}</h1>", body(document), "</main>", "</body>", "</html>", "",
    ])  # fmt: skip


def body(document: Node) -> str:
    """The content of the page, for a page with another style."""
    return "\n".join([
        f"<p>{_text(document['info']['description'])}</p>",
        _contents(document),
        *(_group(document, tag["name"]) for tag in document["tags"]),
        '<h2 id="objects">Objects</h2>',
        *(_object(name, schema) for name, schema in document["components"]["schemas"].items()),
    ])  # fmt: skip


def _calls(document: Node, tag: str) -> Iterable[tuple[str, str, Node]]:
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            if tag in call["tags"]:
                yield method.upper(), path, call


def _contents(document: Node) -> str:
    groups: list[str] = []
    for tag in document["tags"]:
        calls = [
            f'<li><a href="#{escape(call["operationId"])}"><code>{method} {escape(path)}</code></a> '
            f"{_text(call['summary'])}</li>"
            for method, path, call in _calls(document, tag["name"])
        ]
        groups += [f"<dt>{escape(tag['name'])}</dt>", f"<dd><ul>{''.join(calls)}</ul></dd>"]
    return f'<nav aria-label="Calls"><dl>{"".join(groups)}</dl></nav>'


def _group(document: Node, tag: str) -> str:
    sections = [_call(document, *call) for call in _calls(document, tag)]
    return "\n".join([f"<h2>{escape(tag)}</h2>", *sections])


def _call(document: Node, method: str, path: str, call: Node) -> str:
    key = "no API key" if call.get("security") == [] else "an API key, as <code>Authorization: Bearer …</code>"
    parts = [
        f'<section id="{escape(call["operationId"])}">',
        f'<h3><span class="method">{method}</span> <code>{escape(path)}</code></h3>',
        f"<p><strong>{_text(call['summary'])}.</strong> {_text(call.get('description', ''))} Needs {key}.</p>",
    ]
    if call.get("parameters"):
        rows = [
            (one["name"], f"{_type(one['schema'])} in the {one['in']}", one.get("required"), one.get("description"))
            for one in call["parameters"]
        ]
        parts += ["<h4>Parameters</h4>", _table(rows)]
    if "requestBody" in call:
        parts += ["<h4>Body</h4>", _content(call["requestBody"])]
    parts += ["<h4>Answers</h4>", *(_answer(document, *answer) for answer in call["responses"].items()), "</section>"]
    return "\n".join(parts)


def _answer(document: Node, status: str, answer: Node) -> str:
    found = _resolved(document, answer)
    return f"<p><strong>{escape(status)}</strong> {_text(found.get('description', ''))}</p>{_content(found)}"


def _content(body: Node) -> str:
    """The shape of a body, with its example; its content type where there are several."""
    kinds = body.get("content", {})
    named = len(kinds) > 1
    return "".join(_one_kind(kind if named else "", content) for kind, content in kinds.items())


def _one_kind(kind: str, content: Node) -> str:
    schema = content["schema"]
    parts = [f"<p><code>{escape(kind)}</code></p>"] if kind else []
    parts.append(_fields(schema) if "properties" in schema else f"<p>{_type(schema)}</p>")
    if "example" in content:
        example = json.dumps(content["example"], indent=2, ensure_ascii=False)
        parts.append(f"<pre><code>{escape(example)}</code></pre>")
    return "".join(parts)


def _object(name: str, schema: Node) -> str:
    shape = _fields(schema) if "properties" in schema else f"<p>{_type(schema)}</p>"
    about = f"<p>{_text(schema['description'])}</p>" if "description" in schema else ""
    return f'<section id="{escape(name)}"><h3>{escape(name)}</h3>{about}{shape}</section>'


def _fields(schema: Node) -> str:
    required = schema.get("required", ())
    return _table(
        (name, _type(field), name in required, field.get("description"))
        for name, field in schema["properties"].items()
    )  # fmt: skip


def _table(rows: Iterable[tuple[str, str, object, str | None]]) -> str:
    lines = [
        f"<tr><th scope='row'><code>{escape(name)}</code></th><td>{kind}</td>"
        f"<td>{'required' if required else ''}</td><td>{_text(about or '')}</td></tr>"
        for name, kind, required, about in rows
    ]
    return f"<div class='wide'><table>{''.join(lines)}</table></div>"


def _type(schema: Node) -> str:
    """The type of a value in words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(map(_type, schema[word]))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    return ", ".join([_plain(schema), *_bounds(schema)])


def _plain(schema: Node) -> str:
    kinds = schema.get("type", "any value")
    words = [kinds] if isinstance(kinds, str) else list(kinds)
    if "array" in words and "items" in schema:
        words[words.index("array")] = f"array of {_type(schema['items'])}"
    shape = f" ({schema['format']})" if "format" in schema else ""
    return " or ".join(words) + shape


def _bounds(schema: Node) -> list[str]:
    return [
        sentence.format(f"<code>{escape(json.dumps(schema[word]))}</code>")
        for word, sentence in _BOUNDS.items()
        if word in schema
    ]


def _resolved(document: Node, node: Node) -> Node:
    """The target of a `$ref`, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = document
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found  # type: ignore[no-any-return]


def _text(text: str) -> str:
    """A sentence of the document; text in backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
