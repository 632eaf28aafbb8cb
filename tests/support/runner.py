# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run by ansible-runner, as AWX and Automation Controller run them, and the artifacts that it leaves."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import yaml

from tests.support.playbooks import TIMEOUT, Playbooks, find_secrets
from tests.support.sandbox import CLONE

PROJECT = CLONE / "awx" / "project"
"""The project of the job templates: a file per playbook."""
EVENTS = {"playbook_on_start", "playbook_on_task_start", "runner_on_ok", "playbook_on_stats"}


def unanswered(playbook: str) -> dict[str, Any]:
    """What a job of AWX gets for questions of its survey that nobody has answered: defaults, empty ones too."""
    assets = yaml.safe_load((CLONE / "awx" / "assets.yml").read_text(encoding="utf-8"))
    surveys = {item["playbook"]: item["related"]["survey_spec"]["spec"] for item in assets["job_templates"]}
    return {item["variable"]: item["default"] for item in surveys.get(playbook, []) if "default" in item}


@dataclass(frozen=True)
class Job:
    """One job that has ended, read back from its folder and from nowhere else."""

    folder: Path

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @property
    def rc(self) -> int:
        return int(self._read("rc"))

    @property
    def status(self) -> str:
        return self._read("status")

    @property
    def stdout(self) -> str:
        return self._read("stdout")

    @property
    def text(self) -> str:
        """All that was printed, on one line: long messages are wrapped."""
        return " ".join(self.stdout.split())

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in their order."""
        paths = (self.folder / "job_events").glob("[0-9]*.json")
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return sorted(found, key=lambda event: event["counter"])

    @property
    def modules(self) -> set[str]:
        """The modules whose tasks ended well, by their full names."""
        return {e["event_data"]["resolved_action"] for e in self.events if e["event"] == "runner_on_ok"}

    def fact(self, name: str) -> dict[str, Any]:
        """A fact as it was set last; empty where it never was."""
        set_facts = (
            event["event_data"]["res"].get("ansible_facts") or {}
            for event in self.events
            if event["event"] == "runner_on_ok"
        )
        return next((dict(facts[name]) for facts in reversed(list(set_facts)) if facts.get(name)), {})

    @property
    def statistics(self) -> dict[str, Any]:
        """What ``set_stats`` handed on to the later nodes of a workflow."""
        stats: dict[str, Any] = next(
            (event for event in reversed(self.events) if event["event"] == "playbook_on_stats"), {}
        )
        return dict(stats.get("event_data", {}).get("artifact_data", {}))


class Runner:
    """Runs playbooks of the project against a sandbox. A secret in any file of a job fails the test."""

    def __init__(self, playbooks: Playbooks, folder: Path) -> None:
        self.playbooks = playbooks
        self.folder = folder
        self.jobs = 0

    def run(self, playbook: str, *options: str, environment: Mapping[str, str] | None = None, **variables: Any) -> Job:
        """One job; `variables` are what a survey was answered with."""
        self.jobs += 1
        ident = f"{self.jobs:02}-{Path(playbook).stem}"
        ansible_runner.run(
            private_data_dir=str(self._prepared(ident)),
            ident=ident,
            project_dir=str(PROJECT),
            playbook=playbook,
            inventory=[str(CLONE / "inventory" / "sandbox")],
            extravars=variables,
            cmdline=" ".join(options) or None,
            envvars={**self._environment(), **(environment or {})},
            timeout=int(TIMEOUT),
            suppress_env_files=True,
            quiet=True,
        )
        job = Job(self.folder / ident / "artifacts" / ident)
        # The runner itself writes the whole environment there, for its owner only.
        command = job.folder / "command"
        assert command.stat().st_mode & 0o077 == 0
        command.unlink()
        print(f"{ident} {' '.join(options)} {variables}: {job.rc} (REWIND_TEST_SEED={self.playbooks.seed})")
        assert (leaks := self.leaks()) == [], f"secrets are in the artifacts: {leaks}"
        return job

    def _prepared(self, ident: str) -> Path:
        """A folder of the job's own: the options and answers of an earlier job in the same folder would count again."""
        folder = self.folder / ident
        folder.mkdir()
        return folder

    def leaks(self) -> list[str]:
        """Where a secret stands in any file that the runner or the playbooks have written."""
        secrets = self.playbooks.known_secrets()
        return find_secrets(dict(self._files(self.folder, self.playbooks.state)), secrets)

    @staticmethod
    def _files(*folders: Path) -> Iterator[tuple[str, str]]:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield str(path.relative_to(folder)), path.read_text(encoding="utf-8", errors="replace")

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        assert shutil.which("ansible-playbook", path=path)
        return {
            "PATH": path,
            "ANSIBLE_COLLECTIONS_PATH": str(CLONE / ".collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "REWIND_SANDBOX_CONNECTION": str(self.playbooks.sandbox.connection_file),
        }
