# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Targets of a test: an application and its database in a running sandbox, asked by other ways than the playbooks'."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict

from sandbox.tracker.seed import seed_database
from tests.support.playbooks import Playbooks
from tests.support.sandbox import Control, SandboxProcess, wait_for

STATUS = 'SELECT "text" FROM "Status" WHERE "id" = 1'
_WRITTEN = "SELECT sum(tup_inserted + tup_updated + tup_deleted) FROM pg_stat_database"
# What changes by itself, or because somebody reads.
_VOLATILE = re.compile(
    r"last_active|_last_active_at|active_time|compute_time|cpu_used|data_transfer|written_data|_bytes|last_online_at"
    r"|logical_size|consumption"
)


def text_of(instant: datetime) -> str:
    """As a person writes it on the command line, to the microsecond."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Target:
    """One application and its database."""

    def __init__(self, name: str, facts: dict[str, Any], sandbox: SandboxProcess) -> None:
        self.name = name
        self.facts = facts
        self.project = str(facts["neon_project_id"])
        self.application = str(facts["coolify_application"])
        self.url = str(facts["application_url"])
        self.key = str(facts["coolify_env_key"])
        self.database = str(facts["neon_database"])
        self.role = str(facts["neon_role"])
        self.sandbox = sandbox
        self.neon = sandbox.neon()
        self.coolify = sandbox.coolify()
        self.web = httpx.Client(base_url=self.url, timeout=20.0, trust_env=False)

    # The application

    def status(self) -> dict[str, Any]:
        """What the application answers: the status text, its commit, its process and its database's address."""
        answer = self.web.get("/api/status")
        assert answer.status_code == 200, f"{self.name}: {answer.status_code} {answer.text}"
        return dict(answer.json())

    def served(self) -> str:
        """The status text, through the application."""
        return str(self.status()["text"])

    def say(self, text: str) -> datetime:
        """Sets the status text through the application; an instant after that and before anything later."""
        answer = self.web.post("/api/status", json={"text": text})
        assert answer.status_code == 200, answer.text
        return instant()

    def environ(self) -> dict[str, str]:
        """The environment of the application's process, as the kernel knows it."""
        raw = Path(f"/proc/{self.status()['pid']}/environ").read_bytes().decode()
        return dict(item.split("=", 1) for item in raw.split("\0") if "=" in item)

    # Coolify

    def rows(self, application: str | None = None) -> list[dict[str, Any]]:
        """The environment rows of the application (or of another one), with their values."""
        return list(self._coolify(f"/applications/{application or self.application}/envs"))

    def string(self, key: str | None = None, application: str | None = None) -> str:
        """The connection string that the next deployment gets."""
        wanted = key or self.key
        return str(next(r["value"] for r in self.rows(application) if r["key"] == wanted and not r["is_preview"]))

    def point_to(self, string: str) -> None:
        """As a person does in Coolify's UI: write another string into the row."""
        body = {"key": self.key, "value": string, "is_preview": False}
        assert self.coolify.patch(f"/applications/{self.application}/envs", json=body).is_success

    def host(self, key: str | None = None, application: str | None = None) -> str:
        """The host in it."""
        return str(conninfo_to_dict(self.string(key, application))["host"])

    def deployments(self) -> list[dict[str, Any]]:
        """The deployments of the application, newest first."""
        return list(self._coolify(f"/deployments/applications/{self.application}")["deployments"])

    def shown_status(self) -> str:
        """The status as Coolify shows it, which is behind the truth for a while after a deployment."""
        return str(self._coolify(f"/applications/{self.application}")["status"])

    def _coolify(self, path: str) -> Any:
        answer = self.coolify.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    # Neon

    def branches(self) -> dict[str, dict[str, Any]]:
        """The branches by name."""
        found, page = [], self._neon("/branches", limit=10000)
        while page["pagination"].get("next"):
            found += page["branches"]
            page = self._neon("/branches", limit=10000, cursor=page["pagination"]["next"])
        return {str(item["name"]): item for item in (*found, *page["branches"])}

    def endpoints(self, branch_id: str) -> list[dict[str, Any]]:
        """The computes of a branch."""
        return [item for item in self._neon("/endpoints")["endpoints"] if item["branch_id"] == branch_id]

    def primary(self) -> dict[str, Any]:
        """The branch that the connection string leads to."""
        host = self.host().replace("-pooler.", ".")
        found = next(item for item in self._neon("/endpoints")["endpoints"] if item["host"] == host)
        return next(item for item in self.branches().values() if item["id"] == found["branch_id"])

    def uri(self, branch_id: str) -> str:
        """A connection string of any branch that has a compute."""
        query = {"branch_id": branch_id, "database_name": self.database, "role_name": self.role}
        return str(self._neon("/connection_uri", **query)["uri"])

    def change_branch(self, branch_id: str, **fields: Any) -> None:
        """PATCHes a branch, as a person does in the console."""
        path = f"/projects/{self.project}/branches/{branch_id}"
        answer = self.neon.patch(path, json={"branch": fields})
        assert answer.is_success, answer.text
        self.settle()

    def make_branch(self, name: str, *, compute: bool = False, **fields: Any) -> dict[str, Any]:
        """Makes a branch, as a person does in the console; returns it when it is ready."""
        path = f"/projects/{self.project}/branches"
        body = {"branch": {"name": name, **fields}, "endpoints": [{"type": "read_write"}] if compute else []}
        answer = self.neon.post(path, json=body)
        assert answer.is_success, answer.text
        self.settle()
        return self.branches()[name]

    def settle(self) -> None:
        """Waits until no operation of the project is under way."""

        def quiet() -> bool:
            running = [o for o in self._neon("/operations")["operations"] if o["status"] in ("running", "scheduling")]
            return not running and all(item["current_state"] == "ready" for item in self.branches().values())

        wait_for(quiet, seconds=60, what="the end of all operations")

    def _neon(self, path: str, **query: Any) -> Any:
        answer = self.neon.get(f"/projects/{self.project}{path}", params=query)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    # The data

    @contextmanager
    def connect(self, branch_id: str | None = None) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A session of the test's own on the primary, or on another branch."""
        uri = self.uri(branch_id) if branch_id else self.string()
        with psycopg.connect(uri, autocommit=True, prepare_threshold=None, connect_timeout=20) as connection:
            yield connection

    def ask(self, query: str, branch_id: str | None = None) -> Any:
        """The first value of the first row."""
        with self.connect(branch_id) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def stored(self, branch_id: str | None = None) -> str:
        """The status text, in the database."""
        return str(self.ask(STATUS, branch_id))

    def written_rows(self) -> int:
        """Rows written into any table of the primary's server since it started, system catalogues included.

        Transaction ids say less: the sandbox takes one for each mark that it sets to find an instant again.
        """
        return int(self.ask(_WRITTEN))

    def end_sessions(self) -> None:
        """Ends the application's sessions, which makes them report what they have written; it connects again."""
        with self.connect() as connection:
            mine = "datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
            found = connection.execute(f"SELECT pid FROM pg_stat_activity WHERE {mine}".encode()).fetchall()
            pids = [row[0] for row in found]
            connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (pids,))

            def ended() -> bool:
                left = connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY (%s)", (pids,))
                return left.fetchone() is None

            wait_for(ended, what="the end of the application's sessions")

    def sessions(self, branch_id: str) -> int:
        """Sessions of the application on a branch."""
        return int(
            self.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
                branch_id,
            )
        )

    def everything(self) -> dict[str, Any]:
        """The state of both services as far as this target is concerned, without what changes by reading."""
        paths = ("", "/branches", "/endpoints", "/operations")
        neon = {path: self._neon(path) for path in paths}
        coolify = {
            "application": self._coolify(f"/applications/{self.application}"),
            "rows": self.rows(),
            "deployments": self.deployments(),
        }
        return {"neon": _steady(neon), "coolify": _steady(coolify)}


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items() if not _VOLATILE.search(key)}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Where two states differ; empty when they are the same. Values are not said: they may be secret."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [item for key in keys for item in differences(before.get(key), after.get(key), f"{where}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [item for number, (old, new) in pairs for item in differences(old, new, f"{where}[{number}]")]
    return [] if before == after else [where]


def instant() -> datetime:
    """Now, with the clock strictly later before and after: PostgreSQL's clock is this machine's."""
    moment = datetime.now(UTC)
    while datetime.now(UTC) <= moment:
        time.sleep(0.000_01)
    return moment


class Targets:
    """The targets of a sandbox: its own two, and those that a test makes."""

    def __init__(self, playbooks: Playbooks, control: Control) -> None:
        self.playbooks = playbooks
        self.sandbox = playbooks.sandbox
        self.control = control

    def given(self, name: str = "tracker") -> Target:
        """One of the two that every sandbox has."""
        return Target(name, self.sandbox.connection["targets"][name], self.sandbox)

    def make(
        self,
        name: str,
        *,
        plan: str | None = None,
        history: int | None = None,
        rows: int = 60,
        pooled_row: bool = False,
        **application: Any,
    ) -> Target:
        """A new target: a Neon project with data, an application on it, and its host in the inventory.

        `history`: seconds of its history window. `pooled_row`: DATABASE_URL is the pooled address and DIRECT_URL the
        direct one.
        """
        asked = {"name": name, "database": "tracker", "role": "tracker_owner", "plan": plan}
        project = self.control.call("POST", "/projects", {**asked, "history_retention_seconds": history})
        seed_database(project["connection_uri"], rows=rows, seed=self.playbooks.seed)
        env = {"DATABASE_URL": project["connection_uri"]}
        if pooled_row:
            env = {"DATABASE_URL": project["pooled_connection_uri"], "DIRECT_URL": project["connection_uri"]}
        facts = {
            "neon_project_id": project["project_id"],
            "neon_database": "tracker",
            "neon_role": "tracker_owner",
            "coolify_env_key": "DATABASE_URL",
            **self.application(name, env, **application),
        }
        self.playbooks.add_host(name, rewind_sandbox_target=facts)
        return Target(name, facts, self.sandbox)

    def application(self, name: str, env: dict[str, str], **options: Any) -> dict[str, Any]:
        """A deployed application; its uuid and address."""
        usual = {"built": True, "deploy": True, "health_check_retries": 90}
        made = self.control.call("POST", "/applications", {"name": name, "env": env, **usual, **options})
        assert made.get("deployment_status", "finished") == "finished", made
        return {"coolify_application": made["uuid"], "application_url": made["url"]}

    def writes(self, since: int) -> list[str]:
        """The requests since then that could have changed something, as method and path; see `probes`."""
        return [f"{r['method']} {r['path']}" for r in self.control.requests(since) if r["method"] != "GET"]


# Coolify has no request that tells what a token may do: these two name things that do not exist, and change nothing.
PROBE = "rewind0probe0unknown0xyz"


def without_probes(requests: list[str]) -> list[str]:
    """The writes that are not proofs of an ability."""
    return [item for item in requests if PROBE not in item]
