# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tools of the unit tests: an ordered script of HTTP calls, a clock that nobody waits for, and a task."""

from __future__ import annotations

import dataclasses
import importlib
import json as jsonlib
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.rewind.database.plugins.module_utils import _waiter
from ansible_collections.rewind.database.plugins.module_utils._secrets import Masker
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, execute, plain, secrets_in

Json = dict[str, Any]
Effect = Callable[[httpx.Request], httpx.Response]

NEON_KEY = "napi_k7w2m9x4t6q1z8v3b5n0c7j2h4g6f8d1"  # long and random: a short one would be masked in other words too
COOLIFY_TOKEN = "3|Zq8Wm2Xk5Tn9Bv4Rc7Ly1Hd6Jf3Gs0Pa"
ENVIRONMENT = ("NEON_API_KEY", "NEON_API_URL", "COOLIFY_ACCESS_TOKEN", "COOLIFY_API_URL", "REWIND_STATE_DIR")


@dataclasses.dataclass
class Call:
    """One expected request and its answer.

    :param path: as in the request, below the base URL of the service, without the query.
    :param query: parameters that must be there with these values; others may be there too. None: must not be there.
    :param json: the exact body; ``...`` accepts any.
    :param answer: the body, or an exception to raise instead of an answer.
    """

    method: str
    path: str
    answer: Any = None
    status: int = 200
    query: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    json: Any = ...
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def check(self, request: httpx.Request) -> None:
        path = request.url.path
        for base in ("/api/v2", "/api/v1"):
            path = path.removeprefix(base)
        assert (request.method, path) == (self.method, self.path), f"expected {self}, got {request.method} {path}"
        for name, value in self.query.items():
            assert request.url.params.get(name) == value, f"{self}: {name} is {request.url.params.get(name)}"
        if self.json is not ...:
            body = jsonlib.loads(request.content) if request.content else None
            assert body == self.json, f"{self}: the body is {body}"

    def respond(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, (bytes, httpx.ByteStream)) or self.answer is None:
            return httpx.Response(self.status, content=self.answer, headers=dict(self.headers), request=request)
        if isinstance(self.answer, str):
            return httpx.Response(self.status, text=self.answer, headers=dict(self.headers), request=request)
        return httpx.Response(self.status, json=self.answer, headers=dict(self.headers), request=request)


class Script:
    """Expected requests in their order: another one, or a missing one, fails the test."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.requests: list[httpx.Request] = []
        self._problems: list[str] = []

    def expect(self, method: str, path: str, answer: Any = None, **more: Any) -> Script:
        """Add a call; returns the script, so that calls can be chained."""
        self.calls.append(Call(method, path, answer, **more))
        return self

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    def writes(self) -> list[str]:
        """What was sent that is not a GET."""
        return [f"{request.method} {request.url.path}" for request in self.requests if request.method != "GET"]

    def finish(self) -> None:
        """Fail where a call was unexpected, wrong or missing. Called by the fixture at the end of each test."""
        assert not self._problems, self._problems[0]
        missing = [str(call) for call in self.calls[len(self.requests) :]]
        assert not missing, f"these requests were never sent: {', '.join(missing)}"

    def _handle(self, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        self.requests.append(request)
        try:
            assert number < len(self.calls), f"unexpected request {number + 1}: {request.method} {request.url}"
            self.calls[number].check(request)
        except AssertionError as problem:
            # Kept: a module turns every exception into a failed result, which a test may expect for another reason.
            self._problems.append(str(problem))
            raise
        return self.calls[number].respond(request)


class FakeClock(_waiter.Clock):
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FakeTask:
    """A task as a module's ``run`` sees it, which remembers what was said to it."""

    def __init__(self, params: Json, *, check_mode: bool = False, diff_mode: bool = False) -> None:
        self.params = params
        self.check_mode = check_mode
        self.diff_mode = diff_mode
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.masker = Masker()

    def progress(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def secret(self, value: str) -> str:
        self.masker.add(value)
        return value

    def scrub(self, value: Any) -> Any:
        return self.masker.scrub(value)


def task_of(spec: Spec, options: Mapping[str, Any], *, check_mode: bool = False) -> FakeTask:
    """A task with a module's options validated and its defaults filled in, as Ansible does it."""
    outcome = ArgumentSpecValidator(spec.argument_spec(), **spec.rules()).validate(dict(options))
    assert not outcome.error_messages, outcome.error_messages
    task = FakeTask(plain(outcome.validated_parameters), check_mode=check_mode)
    for value in secrets_in(spec.arguments, task.params):
        task.masker.add(value)
    return task


def call_module(name: str, options: Mapping[str, Any], *, check_mode: bool = False) -> Json:
    """Run a module's ``run`` and return its result as a playbook gets it, failed or not."""
    module = importlib.import_module(f"ansible_collections.rewind.database.plugins.modules.{name}")
    task = task_of(module.SPEC, options, check_mode=check_mode)
    result = execute(module.run, task, task.masker)
    if task.warnings:
        result["warnings"] = task.warnings
    return result
