# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a task for real, both ways: in the controller's process, and as an ordinary module.

A task's ``environment:`` is what makes the second way happen; nothing else differs.
"""

from __future__ import annotations

import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

# What may differ: how long it took, and what Ansible adds for one of the two only.
VOLATILE = frozenset({"elapsed", "invocation", "ansible_facts", "exception", "_ansible_no_log"})

_CALLBACK = '''
import json, os
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: aggregate
short_description: writes every result as a line of JSON
description: [for tests]
"""

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, outcome, failed=False):
        task = getattr(outcome, "task", None) or outcome._task
        data = dict(getattr(outcome, "result", None) or outcome._result)
        if failed:
            data["failed"] = True
        with open(os.environ["RESULTS_FILE"], "a") as file:
            file.write(json.dumps({"task": task.name, "result": data}, default=str) + "\\n")

    def v2_runner_on_ok(self, outcome):
        self._write(outcome)

    def v2_runner_on_failed(self, outcome, ignore_errors=False):
        self._write(outcome, failed=True)
'''


class Played:
    """What came of a playbook: everything printed, and each task's result by the task's name."""

    def __init__(self, output: str, code: int, results: dict[str, Json]) -> None:
        self.output = output
        self.code = code
        self.results = results


class BothWays:
    """Runs tasks with ansible-playbook in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def play(
        self,
        tasks: list[Json],
        *,
        variables: Mapping[str, Any] | None = None,
        play: Mapping[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Played:
        """Run tasks on a local host and return what came of it.

        :param variables: host variables, in the inventory.
        :param play: keywords of the play, for example ``module_defaults``.
        """
        results = self.folder / "results.jsonl"
        results.unlink(missing_ok=True)
        (self.folder / "callback").mkdir(exist_ok=True)
        (self.folder / "ansible.cfg").write_text("[defaults]\n")
        (self.folder / "callback" / "results.py").write_text(_CALLBACK)
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_async_dir": str(self.folder / "async"),
            **(variables or {}),
        }
        (self.folder / "inventory.yml").write_text(json.dumps({"all": {"hosts": {"target": host}}}))
        plays = [{"hosts": "all", "gather_facts": False, **(play or {}), "tasks": tasks}]
        (self.folder / "playbook.yml").write_text(json.dumps(plays))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(self.folder / "inventory.yml"),
                *arguments,
                str(self.folder / "playbook.yml"),
            ],
            cwd=self.folder,
            env={**environment_of(self.folder), "RESULTS_FILE": str(results), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        lines = results.read_text().splitlines() if results.exists() else []
        by_name = {line["task"]: line["result"] for line in map(json.loads, lines)}
        return Played(done.stdout + done.stderr, done.returncode, by_name)

    def same(
        self,
        module: str,
        options: Mapping[str, Any],
        *,
        variables: Mapping[str, Any] | None = None,
        check_mode: bool = False,
        volatile: frozenset[str] = frozenset(),
    ) -> Json:
        """Run a module both ways, assert that the results are equal, and return the result.

        Give it options with which the second run finds what the first one found: it must not depend on the order.

        :param volatile: further keys of the result that may differ.
        """
        task = {f"rewind.database.{module}": dict(options), "ignore_errors": True, "check_mode": check_mode}
        played = self.play(
            [
                {"name": "here", **task},
                {"name": "ordinary", **task, "environment": {"REWIND_ORDINARY_WAY": "true"}},
            ],
            variables=variables,
        )
        assert set(played.results) == {"here", "ordinary"}, played.output
        here, ordinary = (strip(played.results[way], VOLATILE | volatile) for way in ("here", "ordinary"))
        assert here == ordinary, f"in process: {here}\nordinary: {ordinary}"
        return here


def strip(result: Json, volatile: frozenset[str]) -> Json:
    """A result without what may differ between two runs."""
    return {name: value for name, value in result.items() if name not in volatile and not name.startswith("_ansible")}


def environment_of(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(folder / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "results",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
    }


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that refuses the server's certificate is what a test wants to see."""


class StubServer:
    """Answers requests on loopback: a status and a body for each method and path, the same every time."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        # (method, path, query, authorization)
        self.requests: list[tuple[str, str, Json, str]] = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                parts = urlsplit(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                stub.requests.append(
                    (self.command, parts.path, parse_qs(parts.query), self.headers.get("Authorization", ""))
                )
                status, body = stub.answers.get((self.command, parts.path), (404, {"code": "", "message": "not found"}))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

            def log_message(self, *_arguments: object) -> None:
                """Nothing: the requests are remembered."""

        self._scheme = "http"
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def encrypt(self, certificate: Path, key: Path) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._scheme = "https"

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> StubServer:
        """Set the answer to a request; returns the server, so that calls can be chained."""
        self.answers[method, path] = (status, body)
        return self

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
