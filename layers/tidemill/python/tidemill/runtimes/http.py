"""The runtime `http`: POSTs a step's input as JSON, and the response is the output.

The receiver can verify the sender, and recognize a repeated request:

    Idempotency-Key      the same for every attempt of this step of this run
    Tidemill-Signature   t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>" under the signing key>

The timeout is for the whole exchange: an answer that trickles in byte by byte does not outlast it. Redirects are not
followed: they would carry the signed input to an address that was not checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from tidemill.core.definition import Http
from tidemill.limits import SECOND
from tidemill.runtimes.address import Resolve, public, resolve, within
from tidemill.runtimes.deadline import TimedSocket
from tidemill.runtimes.output import (
    PAYLOAD_BYTES,
    REFUSED,
    Clock,
    encoded,
    failed,
    json_of,
    status_failed,
    timed_out,
    too_much,
)

if TYPE_CHECKING:
    import http.client
    import ssl

    from tidemill.task import Task

TIMEOUT = 30 * SECOND
DEV_KEY = "tidemill-dev-signing-key"  # what `tidemill dev` signs with, unless TIDEMILL_SIGNING_KEY names another
KEY_VARIABLE = "TIDEMILL_SIGNING_KEY"

# The request's own headers; a definition's headers are added and never replace them.
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "idempotency-key", "te",
        "tidemill-signature", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_CHARSET = re.compile(r"""charset\s*=\s*"?([\w.:+-]{1,40})""", re.ASCII | re.IGNORECASE)
_PERMANENT = frozenset({301, 308})


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class HttpRuntime:
    """`key`: the signing key, or a function that returns it. `refuse_private`: addresses outside the public Internet
    are refused, unless the step allows them. `clock` is the time in milliseconds; `monotonic`, `ask` and
    `tls` (a context instead of the system's) are for tests.
    """

    def __init__(
        self,
        key: str | Callable[[], str],
        *,
        refuse_private: bool,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        ask: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._key = key
        self._refuse_private = refuse_private
        self._clock = clock
        self._monotonic = monotonic
        self._ask = ask
        self._tls = tls

    def __call__(self, task: Task) -> Any:
        runtime = task.step.runtime
        assert isinstance(runtime, Http)
        url = _understood(task, runtime.url)
        body = encoded(task)
        timeout = task.step.timeout or TIMEOUT
        deadline = self._monotonic() + timeout / SECOND
        try:
            answer = self._exchange(task, runtime, url, body, deadline)
        except TimeoutError as error:
            if self._monotonic() < deadline:
                raise _broken(task, runtime.url, error) from error
            raise timed_out(task, timeout, f"POST {runtime.url}") from error
        return self._output(task, runtime.url, answer)

    def _exchange(self, task: Task, runtime: Http, url: SplitResult, body: bytes, deadline: float) -> _Answer:
        import http.client

        port = url.port or (443 if url.scheme == "https" else 80)
        connection = http.client.HTTPConnection(url.hostname or "", port)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        sock: socket.socket | None = None
        try:
            sock = self._connected(task, runtime, url, port, deadline)
            connection.sock = TimedSocket(sock, deadline, self._monotonic)
            connection.putrequest("POST", target, skip_accept_encoding=True, skip_host=True)
            for name, value in {"Host": url.netloc, **self._headers(task, runtime, body)}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return _Answer(response.status, headers, self._body(task, runtime, response))
        except TimeoutError:
            raise
        except http.client.InvalidURL as error:
            raise _unsendable(task, error) from error
        except (OSError, http.client.HTTPException) as error:
            raise _broken(task, runtime.url, error) from error
        except ValueError as error:
            raise _unsendable(task, error) from error
        finally:
            if sock is not None:
                sock.close()

    def _connected(self, task: Task, runtime: Http, url: SplitResult, port: int, deadline: float) -> socket.socket:
        host = url.hostname or ""
        addresses = within(deadline - self._monotonic(), self._ask, host, port)
        if self._refuse_private and not runtime.private:
            for address in addresses:
                if not public(address):
                    said = f"step {task.step.id!r}: {host} is {address}, which is no address of the open Internet"
                    advice = 'give its runtime "private": true if it is meant to lie inside'
                    raise failed("PrivateAddress", f"{said}; {advice}", retriable=False)
        sock = self._reached(addresses, port, deadline)
        if url.scheme == "http":
            return sock
        try:
            sock.settimeout(max(0.001, deadline - self._monotonic()))
            return self._context().wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise

    def _reached(self, addresses: Any, port: int, deadline: float) -> socket.socket:
        problem = OSError("the name has no address")
        for address in addresses:
            left = deadline - self._monotonic()
            if left <= 0:
                raise TimeoutError("it was not reached in time")
            try:
                sock = socket.create_connection((address, port), left)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError as error:
                problem = error
        raise problem

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls

    def _headers(self, task: Task, runtime: Http, body: bytes) -> dict[str, str]:
        key = self._key if isinstance(self._key, str) else self._key()
        own = {name: value for name, value in runtime.headers.items() if name.lower() not in _OURS}
        if "user-agent" not in {name.lower() for name in own}:
            own["User-Agent"] = "tidemill"
        return {
            **own,
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Idempotency-Key": idempotency_key(task.run_id, task.step.id),
            "Tidemill-Signature": signature(key, self._clock() // SECOND, body),
        }

    @staticmethod
    def _body(task: Task, runtime: Http, response: http.client.HTTPResponse) -> bytes:
        body = response.read(PAYLOAD_BYTES + 1)
        if len(body) > PAYLOAD_BYTES:
            what = f"the answer of {runtime.url} ({response.status})"
            raise too_much(task, what, PAYLOAD_BYTES, "let it store the data, and answer with its address")
        if response.length:  # read(n) does not report a response that was cut off
            raise ConnectionError("the connection was closed before the answer was whole")
        return body

    def _output(self, task: Task, url: str, answer: _Answer) -> dict[str, Any]:
        encoding = answer.headers.get("content-encoding", "identity").lower()
        if encoding not in ("", "identity"):
            said = (
                f"step {task.step.id!r}: POST {url} answered in Content-Encoding {encoding}, and identity was asked for"
            )
            raise failed("EncodedAnswer", f"{said}; let it answer plainly", retriable=False)
        body = _value(answer.body, _charset(answer.headers.get("content-type", "")))
        status = answer.status
        if 200 <= status < 300:
            return {"status": status, "body": body}
        what = f"POST {url} answered {status}"
        if 300 <= status < 400:
            where = answer.headers.get("location", "nowhere")
            said = f"step {task.step.id!r}: {what}, a redirect to {where}, and redirects are not followed"
            raise failed("Redirected", f"{said}; name that URL instead", retriable=status not in _PERMANENT)
        raise status_failed(task, what, status, body, answer.headers.get("retry-after"), self._clock())


def signature(key: str, seconds: int, body: bytes) -> str:
    digest = hmac.digest(key.encode(), b"%d.%b" % (seconds, body), "sha256")
    return f"t={seconds},v1={digest.hex()}"


def idempotency_key(run_id: str, step_id: str) -> str:
    return hashlib.sha256(f"{run_id}\n{step_id}".encode()).hexdigest()[:32]


def _understood(task: Task, url: str) -> SplitResult:
    """The URL's parts, if a request can be made to it."""
    problem = None
    parts = None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        problem = str(error)
    else:
        if parts.scheme not in ("http", "https"):
            problem = "its scheme is neither http nor https"
        elif not parts.hostname:
            problem = "it names no host"
        elif parts.username is not None or parts.password is not None:
            problem = "it holds a user or a password; send them in a header"
        elif not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
            problem = "it holds a blank, a line break or a letter beyond ASCII; percent-encode them"
    if problem is not None or parts is None:
        shown = url if parts is None or "@" not in parts.netloc else url.replace(parts.netloc, "…")
        raise failed(REFUSED, f"step {task.step.id!r}: the URL {shown!r} is refused: {problem}", retriable=False)
    return parts


def _broken(task: Task, url: str, error: Exception) -> Exception:
    said = str(error) or type(error).__name__
    return failed("ConnectionError", f"step {task.step.id!r}: POST {url} got no answer: {said}")


def _unsendable(task: Task, error: Exception) -> Exception:
    said = f"step {task.step.id!r}: no request can be made of its URL and headers: {error}"
    return failed(REFUSED, said, retriable=False)


def _value(body: bytes, charset: str) -> Any:
    """A JSON value, else text, in the response's charset; UTF-8 if it names none."""
    try:
        text = body.decode(charset, "replace")
    except (LookupError, ValueError):  # no charset, or none that Python knows
        text = body.decode("utf-8", "replace")
    found, whole = json_of(text.encode())
    return found if whole else text


def _charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found[1] if found is not None else "utf-8"
