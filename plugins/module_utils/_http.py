# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP for both APIs: explicit timeouts, a read is retried, a write is sent once.

Neon's rule (GeneralError in its API description): GET is safe to repeat; POST, PATCH, PUT and DELETE are not, except
after 423 and 503, which say that nothing was done. 429 says the same in both APIs.
"""

from __future__ import annotations

import contextlib
import json as jsonlib
import random
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from . import _waiter
from ._answers import Reply, error_text, expected, is_foreign, query_value, retry_after, says_json
from ._errors import (
    ApiError,
    InvalidInput,
    RewindError,
    UnknownOutcome,
    Unreachable,
)
from ._pace import shared
from ._predicted import predicted_in
from ._refusals import failure_of
from ._service import SERVICES, Service, checked_proxy, checked_url, headers, verify
from ._task import Task
from ._turns import Turns
from ._waiter import Deadline, backoff

__all__ = ["Api", "Reply", "Service", "error_text", "open_transport", "require_httpx", "retry_after"]

try:
    import httpx
except ImportError:
    HTTPX_ERROR: str | None = traceback.format_exc()
else:
    HTTPX_ERROR = None

# Reads are retried this often after network errors, unusable bodies and 5xx.
READ_ATTEMPTS = 6
# A lock, a limit or an upgrade that will pass: reads wait until the deadline.
PASSING = frozenset({423, 429, 503})
# Neither API documents a longer pause; a proxy in between might send nonsense.
LONGEST_RETRY_AFTER = 120.0
LONGEST_CONNECT = 15.0
# Coolify's longest answers, lists of deployments with their logs, have a few MiB.
LARGEST_BODY = 64 * 1024 * 1024


def open_transport(**options: Any) -> httpx.BaseTransport:
    """The transport of real requests; tests put a scripted one in its place."""
    return httpx.HTTPTransport(**options)


class Api:
    """One API with one token. Give it a `Deadline`, or ``deadline`` stays as long as the task lives.

    :param base_url: with the path that all requests share, without a slash at its end.
    :param timeout: seconds for connecting, for each pause of the answer, and for its body altogether.
    :param service: ``neon`` or ``coolify``.
    :param deadline: when to stop waiting out 423, 429 and 503.
    :param per_minute: how many requests the service allows; kept to together with all processes of this user on this
        machine. 0 for no limit.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: str | None,
        task: Task,
        service: str,
        ca_path: str | None = None,
        proxy: str | None = None,
        timeout: float = 30.0,
        deadline: Deadline | None = None,
        per_minute: int = 0,
    ) -> None:
        self.service = SERVICES[service]
        self.base_url = checked_url(base_url, self.service, task)
        self.task = task
        self.deadline = deadline or Deadline(None)
        # Every write that was sent, for tests and reports: (method, path).
        self.writes: list[tuple[str, str]] = []
        self._timeout = timeout
        pace = shared(service, self.base_url, per_minute) if per_minute > 0 else None
        self._turns = Turns(self.service, pace, task)
        self._random = random.Random(f"{service} {base_url}")
        require_httpx()
        self._headers = headers(self.service, token, task)
        self._proxy = checked_proxy(proxy, task)
        self._ca_path = ca_path
        self._opened: httpx.Client | None = None

    @classmethod
    def of(cls, task: Task, service: str, *, base_url: str, token: str | None, deadline: Deadline) -> Api:
        """With the options that the clients of all services share (fragments ``neon``, ``coolify``, ``sentry``)."""
        params = task.params
        return cls(
            base_url=base_url,
            token=token,
            ca_path=params.get("ca_path"),
            proxy=params.get("proxy"),
            timeout=params["request_timeout"],
            task=task,
            service=service,
            deadline=deadline,
            per_minute=params.get(f"{service}_requests_per_minute") or 0,
        )

    def get(self, path: str, **options: Any) -> Reply:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Reply:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Reply:
        return self.request("PATCH", path, **options)

    def put(self, path: str, **options: Any) -> Reply:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Reply:
        return self.request("DELETE", path, **options)

    @property
    def _client(self) -> httpx.Client:
        """Made on first use: TLS takes tens of milliseconds to prepare, and not every task sends a request."""
        if self._opened is None:
            # Without TLS there is nothing to verify, and nothing to prepare.
            tls = self.base_url.startswith("https:") or self._proxy
            checked = verify(self._ca_path, self.service) if tls else False
            self._opened = httpx.Client(
                transport=open_transport(verify=checked, proxy=self._proxy, trust_env=False, retries=0),
                # The environment is read on purpose or not at all: .netrc and *_PROXY must not surprise anybody.
                trust_env=False,
                follow_redirects=False,
                timeout=self._timeout,
                headers=self._headers,
            )
        return self._opened

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        expect: set[int] | frozenset[int] | None = None,
        doing: str = "",
        not_done: frozenset[int] | set[int] | None = None,
    ) -> Reply:
        """Send a request and return the answer.

        :param path: below the base URL, each part already quoted.
        :param params: query; None values are left out, booleans are written as JSON writes them.
        :param expect: statuses that are not errors; by default every 2xx.
        :param doing: "verb object", the start of an error's text.
        :param not_done: statuses of a write that are waited out; by default those of the service.
        :raises RewindError: a subclass of it that says what happened; `UnknownOutcome` after a write without an answer.
        """
        doing = doing or f"{method} {path}"
        query = {key: query_value(value) for key, value in (params or {}).items() if value is not None}
        self._guard(method, path, query, json, doing)
        content = None if json is None else jsonlib.dumps(json).encode()
        request = self._client.build_request(
            method,
            self.base_url + path,
            params=query or None,
            content=content,
            headers={"Content-Type": "application/json"} if content is not None else None,
            timeout=self._patience(method),
        )
        if method != "GET":
            self.writes.append((method, path))
            return self._write(request, expect, doing, self.service.not_done if not_done is None else not_done)
        return self._read(request, expect, doing)

    def _patience(self, method: str) -> httpx.Timeout:
        seconds = self._seconds(method)
        return httpx.Timeout(seconds, connect=min(seconds, LONGEST_CONNECT))

    def _seconds(self, method: str) -> float:
        """A read waits no longer than the deadline; giving up a write early would only leave its outcome unknown."""
        return self._timeout if method != "GET" else min(self._timeout, max(self.deadline.patience(), 1.0))

    def _guard(self, method: str, path: str, query: Mapping[str, str], json: Any, doing: str) -> None:
        found = predicted_in([path, query, json])
        if found is not None:
            raise RewindError(
                f"{doing}: {found} does not exist yet, so nothing was sent",
                code="predicted_id",
                hint="An id that check mode predicted was used outside of check mode; run without --check first.",
            )
        if method != "GET" and self.task.check_mode:
            raise RewindError(
                f"{doing}: a write was about to be sent in check mode, so nothing was sent",
                code="write_in_check_mode",
                hint="This is a fault of the module; report it.",
            )

    def _read(self, request: httpx.Request, expect: set[int] | frozenset[int] | None, doing: str) -> Reply:
        pauses = backoff()
        attempt = 0
        while True:
            attempt += 1
            reply = None
            try:
                reply = self._send(request, doing)
            except httpx.TransportError as error:
                failure: ApiError = self._network_failure(error, doing)
            except _Malformed as error:
                failure = ApiError(
                    f"{doing}: the answer of {self.service.name} is not the JSON that it should be",
                    code="malformed_answer",
                    http_status=error.status,
                    request_id=error.request_id,
                    retryable=True,
                )
            else:
                if expected(reply, expect) and not is_foreign(reply):
                    return reply
                failure = failure_of(self.service, reply, doing)
                if reply.status < 500 and reply.status not in PASSING and not is_foreign(reply):
                    raise failure
                if reply.status in PASSING:
                    attempt -= 1
            if attempt >= READ_ATTEMPTS:
                raise failure
            self._pause(reply, pauses, doing, failure)

    def _write(
        self,
        request: httpx.Request,
        expect: set[int] | frozenset[int] | None,
        doing: str,
        not_done: frozenset[int] | set[int],
    ) -> Reply:
        pauses = backoff(first=1.0)
        while True:
            try:
                reply = self._send(request, doing)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
                raise self._network_failure(error, doing) from None
            except httpx.TransportError as error:
                raise self._unknown(doing, f"no answer came ({type(error).__name__})") from None
            except _Malformed as error:
                raise self._unknown(
                    doing,
                    "the answer is not the JSON that it should be",
                    http_status=error.status,
                    request_id=error.request_id,
                ) from None
            if expected(reply, expect) and not is_foreign(reply):
                return reply
            failure = failure_of(self.service, reply, doing)
            if reply.status in not_done:
                self._pause(reply, pauses, doing, failure)
                continue
            if reply.status == 503:
                # It may have come after an effect, so whoever sent it reads back; but not before it was asked to.
                asked = retry_after(reply.headers)
                pause = min(LONGEST_RETRY_AFTER, next(pauses) if asked is None else asked)
                _waiter.CLOCK.sleep(min(pause, self.deadline.patience()))
            if reply.status >= 500:
                raise self._unknown(
                    doing,
                    error_text(reply.body) or "the service failed",
                    http_status=reply.status,
                    request_id=reply.request_id,
                )
            raise failure

    def _send(self, request: httpx.Request, doing: str) -> Reply:
        self._turns.wait(self.deadline, doing)
        try:
            response = self._client.send(request, stream=True)
        except httpx.UnsupportedProtocol as error:
            raise InvalidInput(f"{doing}: {error}", hint=f"Check {self.service.url_option}.") from None
        request_id = response.headers.get("x-request-id")
        with contextlib.closing(response):
            self._turns.answered(response.status_code, response.headers)
            try:
                content = self._content(response)
            except httpx.DecodingError:
                raise _Malformed(response.status_code, request_id) from None
        body: Any = None
        if content:
            try:
                body = jsonlib.loads(content)
            except (ValueError, RecursionError):
                if says_json(response.headers) and response.is_success:
                    raise _Malformed(response.status_code, request_id) from None
                body = content.decode(response.encoding or "utf-8", errors="replace")
        if self.service.objects and response.is_success and response.status_code != 204 and not isinstance(body, dict):
            raise _Malformed(response.status_code, request_id)
        if isinstance(body, dict) and isinstance(body.get("request_id"), str) and body["request_id"]:
            request_id = body["request_id"]
        return Reply(response.status_code, body, response.headers, request_id)

    def _content(self, response: httpx.Response) -> bytes:
        """The whole body, within a time of its own: httpx limits only each pause, and a body may drip for ever.

        :raises httpx.TransportError: where it takes too long or does not end.
        """
        limit = Deadline(self._seconds(response.request.method))
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if limit.passed:
                raise httpx.ReadTimeout(f"the answer did not end within {limit.seconds:.0f} s")
            if len(content) > LARGEST_BODY:
                raise httpx.RemoteProtocolError(f"the answer is longer than {LARGEST_BODY} bytes")
        return bytes(content)

    def _pause(self, reply: Reply | None, pauses: Iterator[float], doing: str, failure: ApiError) -> None:
        asked = retry_after(reply.headers) if reply is not None else None
        pause = next(pauses)
        # Half of it at random: otherwise all hosts of a fleet come back in the same instant.
        pause = pause / 2 + self._random.uniform(0, pause / 2)
        if asked is not None:
            pause = max(pause, min(asked, LONGEST_RETRY_AFTER))
        patience = self.deadline.patience()
        if patience <= 0 or (asked is not None and asked > patience):
            raise failure
        pause = min(pause, patience)
        self.task.progress(f"{doing}: {failure.text.removeprefix(doing + ': ')}; waiting {pause:.0f} s")
        _waiter.CLOCK.sleep(pause)

    def _network_failure(self, error: httpx.TransportError, doing: str) -> ApiError:
        reason = str(error) or type(error).__name__
        hint = f"Check {self.service.url_option}, the network and, where one is used, proxy and ca_path."
        return Unreachable(
            f"{doing}: {self.service.name} cannot be reached at {self.base_url}: {reason}", retryable=True, hint=hint
        )

    def _unknown(self, doing: str, reason: str, **more: Any) -> UnknownOutcome:
        return UnknownOutcome(
            f"{doing}: {reason}, so it is not known whether it was done",
            hint="Read the state back before trying again.",
            **more,
        )


class _Malformed(Exception):
    """An answer of success that is not the JSON that it says, or that the service always gives."""

    def __init__(self, status: int, request_id: str | None) -> None:
        super().__init__("malformed answer")
        self.status = status
        self.request_id = request_id


def require_httpx() -> None:
    """Fail with a clear message where the library is missing."""
    if HTTPX_ERROR is not None:
        raise RewindError(
            "import httpx: the Python library is missing",
            code="missing_library",
            hint="Install it for the Python that runs Ansible: pip install httpx.",
        )
