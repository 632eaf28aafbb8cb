# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the ordinary playbooks as a person would, shows how far they are, and reads what they wrote down."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.children import Children
from demo.screen import Screen, Step
from demo.writes import parse

WORDS = {
    "preflight": "read everything, look for problems",
    "plan": "make the plan and its price",
    "branch": "make the branch",
    "verify": "connect to it, check and count",
    "confirm": "measure the loss",
    "cutover": "cut over",
    "prove": "prove: health, sessions, checks",
    "fence": "fence and keep the old state",
    "record": "record",
}
"""The steps of a run in plain words, by the name that its journal gives them."""


@dataclass
class Run:
    """One playbook that has ended well."""

    began: datetime
    ended: datetime
    seconds: float
    journal: list[dict[str, Any]]
    report: dict[str, Any] | None = None
    page: Path | None = None

    def at(self, step: str) -> datetime:
        """When a step began. Raises LookupError when the run had none of this name."""
        for entry in self.journal:
            if entry["step"] == step and entry["phase"] == "intent":
                return parse(entry["at"])
        raise LookupError(f"the run has no step {step}")


class Playbooks:
    """Runs playbooks against the target `tracker` of the sandbox."""

    def __init__(self, children: Children, screen: Screen, state: Path) -> None:
        self._children = children
        self._screen = screen
        self._journals = state / "journal" / "tracker"
        self._reports = state / "reports" / "tracker"

    def run(self, name: str, **values: str) -> Run:
        """Runs ``playbooks/<name>.yml`` with these extra variables. Raises `CommandFailed`."""
        command = ["ansible-playbook", f"playbooks/{name}.yml"]
        for key, value in values.items():
            command += ["-e", f"{key}={value}"]
        self._screen.command(*command)
        earlier = set(self._journals.glob("*.jsonl"))
        began, clock = datetime.now(UTC), time.monotonic()
        with self._screen.step("Ansible starts") as step:
            follower = _Follower(self._screen, step)

            def watch() -> None:
                for path in set(self._journals.glob("*.jsonl")) - earlier:
                    follower.read(path)

            self._children.run(command, f"ansible-playbook playbooks/{name}.yml", watch=watch)
            step.text = f"{name}: the whole playbook"
        run = Run(began, datetime.now(UTC), time.monotonic() - clock, follower.entries)
        page = self._reports / f"{follower.run}.html"
        if page.exists():
            run.page = page
            run.report = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
        return run


class _Follower:
    """Reads a journal while it grows and prints each step once it is done."""

    def __init__(self, screen: Screen, step: Step) -> None:
        self._screen = screen
        self._step = step
        self._began: dict[str, datetime] = {}
        self._offset = 0
        self.entries: list[dict[str, Any]] = []
        self.run = ""

    def read(self, path: Path) -> None:
        """Takes in what was added."""
        self.run = path.stem
        with path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._entry(json.loads(line))

    def _entry(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        name, phase = entry["step"], entry["phase"]
        if name == "run" and phase == "done":
            self._step.text = "write the report"
        if name not in WORDS:
            return
        if phase == "intent":
            self._began[name] = parse(entry["at"])
            self._step.text = WORDS[name]
        elif phase == "done" and name in self._began:
            self._screen.took((parse(entry["at"]) - self._began[name]).total_seconds(), f"  {WORDS[name]}")
