# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One story: a target whose data was spoilt, an instant before that, and what must be the case in the end."""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.killing import Point, Process, crash_at, journals, lines_of
from tests.faults.reader import Reader, State
from tests.support.playbooks import Playbooks, Played, typed
from tests.support.sandbox import Control, wait_for
from tests.support.targets import Target, Targets, text_of, without_probes

TABLES = ("User", "Trader", "Quest", "Objective", "QuestProgress", "ObjectiveProgress")
FLAGS = ("key", "is_preview", "is_literal", "is_multiline", "is_shown_once", "is_runtime", "is_buildtime", "comment")
_NUMBER = itertools.count(1)


class Plays(Playbooks):
    """Playbooks that can also be left running beside the test."""

    def begin(self, playbook: str, **variables: Any) -> Process:
        """Starts one and returns at once."""
        options = [part for name, value in variables.items() for part in ("-e", typed(name, value))]
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return Process([program, *self.inventory, playbook, *options], self._environment())


class Story:
    """A target, what it holds before and after it was spoilt, and the command that brings the good state back.

    :param protected: the primary branch is protected.
    :param unusable: at the instant to go back to, a table is missing that the application's health needs.
    :param variables: more variables for every playbook.
    """

    def __init__(
        self,
        targets: Targets,
        control: Control,
        rng: random.Random,
        strategy: str,
        *,
        protected: bool = False,
        unusable: bool = False,
        variables: dict[str, Any] | None = None,
        **application: Any,
    ) -> None:
        self.control = control
        self.strategy = strategy
        assert isinstance(targets.playbooks, Plays)
        self.playbooks = targets.playbooks
        self.target: Target = targets.make(f"story{next(_NUMBER)}", **application)
        if protected:
            self.target.change_branch(self.target.primary()["id"], protected=True)
        self.good: State
        self.spoilt: State
        self._prepare(rng, unusable)
        self.old_string = self.target.string()
        self.old_primary = self.target.primary()
        self.old_rows = self._row_flags()
        self.old_settings = self._settings()
        self.old_commit = self.target.status()["commit"]
        allowed: dict[str, Any] = {"allow_unprotect": True} if protected else {}
        self.variables: dict[str, Any] = {
            "target": self.target.name,
            "rewind_soak_seconds": 1,
            "rewind_poll_seconds": 0.2,
            **(variables or {}),
        }
        if unusable:
            # Nobody has noticed: the checks say nothing of that table.
            allowed |= {"accept_schema_mismatch": True, "rewind_checks": []}
            self.control.call("PATCH", f"/applications/{self.target.application}", {"health_check_retries": 8})
        self.inputs: dict[str, Any] = {"point_in_time": text_of(self.point), "cutover": strategy, **allowed}
        self.reader = Reader(self.target.url)
        self.reader.start()
        self._processes: list[Process] = []

    def _prepare(self, rng: random.Random, unusable: bool) -> None:
        good, spoilt = (f"{word} {rng.getrandbits(64):016x}" for word in ("good", "spoilt"))
        self.counts = self._counts()
        self.good = (good, self.counts["QuestProgress"])
        self._rename("ObjectiveProgress", "Parked", really=unusable)
        self.point = self.target.say(good)
        self._rename("Parked", "ObjectiveProgress", really=unusable)
        with self.target.connect() as connection, connection.transaction():
            connection.execute('DELETE FROM "ObjectiveProgress"')
            connection.execute('DELETE FROM "QuestProgress" WHERE "id" IN (SELECT "id" FROM "QuestProgress" LIMIT 5)')
            connection.execute('UPDATE "Status" SET "text" = %s', (spoilt,))
        self.spoilt_counts = self._counts()
        self.spoilt = (spoilt, self.spoilt_counts["QuestProgress"])
        assert self.good[1] != self.spoilt[1]

    def _rename(self, old: str, new: str, *, really: bool) -> None:
        if really:
            with self.target.connect() as connection:
                connection.execute(f'ALTER TABLE "{old}" RENAME TO "{new}"'.encode())

    def close(self) -> None:
        """Ends what still runs, and frees what the target holds: other stories share the machine."""
        self.reader.stop()
        for process in self._processes:
            process.close()
        self.target.coolify.post(f"/applications/{self.target.application}/stop")
        for client in (self.target.web, self.target.neon, self.target.coolify):
            client.close()

    # Playbooks

    def restore(self, **variables: Any) -> Played:
        """The restore to its end."""
        return self.playbooks.restore(**{**self.variables, **self.inputs, **variables})

    def undo(self, **variables: Any) -> Played:
        """The undo to its end."""
        return self.playbooks.play("playbooks/undo.yml", **{**self.variables, **variables})

    def start(self, playbook: str = "restore", **variables: Any) -> Process:
        """The same command, running beside the test."""
        inputs = self.inputs if playbook == "restore" else {}
        process = self.playbooks.begin(f"playbooks/{playbook}.yml", **{**self.variables, **inputs, **variables})
        self._processes.append(process)
        return process

    def crash_at(self, point: Point, playbook: str = "restore", **variables: Any) -> None:
        """The same command, killed at a point of its journal; only lines that it writes itself count."""
        known = len(self.lines())
        crash_at(self.start(playbook, **variables), point, self.control, lambda: self.lines()[known:])

    # The journal

    def journals(self) -> list[list[dict[str, Any]]]:
        """The lines of every restore's journal."""
        return [lines_of(path) for path in journals(self.playbooks.state, self.target.name)]

    def lines(self) -> list[dict[str, Any]]:
        """The lines of all journals together."""
        return [line for lines in self.journals() for line in lines]

    def locks(self) -> list[str]:
        """The locks of this target that are there."""
        folder = self.playbooks.state / "locks"
        return sorted(p.name for p in folder.glob("*.lock") if json.loads(p.read_text())["target"] == self.target.name)

    # What is the case

    def _counts(self) -> dict[str, int]:
        select = ", ".join(f'(SELECT count(*) FROM "{name}")' for name in TABLES)
        with self.target.connect() as connection:
            row = connection.execute(f"SELECT {select}".encode()).fetchone()
        assert row is not None
        return dict(zip(TABLES, row, strict=True))

    def _row_flags(self) -> list[dict[str, Any]]:
        rows = [{flag: row.get(flag) for flag in FLAGS} for row in self.target.rows()]
        return sorted(rows, key=lambda row: (row["key"], row["is_preview"]))

    def _settings(self) -> dict[str, Any]:
        answer = self.target.coolify.get(f"/applications/{self.target.application}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return {
            "git_commit_sha": body["git_commit_sha"],
            "auto_deploy": body["settings"]["is_auto_deploy_enabled"],
            "image_tag": body.get("docker_registry_image_tag"),
        }

    def cutovers(self) -> list[dict[str, Any]]:
        """What the catalogue says of this target's cutovers."""
        path = self.playbooks.state / "catalogue.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [item for item in records if item.get("event") == "cutover" and item["target"] == self.target.name]

    def state(self) -> State:
        """The state that the application answers now."""
        answer = self.target.status()
        return (answer["text"], answer["database"]["quest_progress"])

    # What must be

    def assert_consistent(self, *, back: bool = False) -> None:
        """Every answer the whole time was the one state or the other, and it changed once (or back, and no more)."""
        self.reader.stop()
        states = self.reader.states()
        print(f"longest gap between two good answers: {self.reader.longest_gap():.2f} s; {len(states)} states")
        allowed = [[self.spoilt, self.good], [self.spoilt]]
        if back:
            allowed = [[self.spoilt], [self.spoilt, self.good, self.spoilt]]
        assert states in allowed, f"the application answered {states}"
        errors = [answer for answer in self.reader.answers if answer.state is None]
        assert len(errors) <= len(self.reader.answers) // 2, errors[-5:]

    def assert_settled(self) -> None:
        """Nothing is left half done: settings, flags, protection, locks, previews, deployments."""
        assert self._settings() == self.old_settings
        assert self._row_flags() == self.old_rows
        main = self.target.branches()[self.old_primary["name"]]
        assert (main["id"] == self.old_primary["id"]) is not self._was_replaced()
        assert main["default"] == self.old_primary["default"]
        assert main["protected"] == self.old_primary["protected"]
        assert not [name for name in self.target.branches() if name.startswith(("preview-", "snapshot-", "undo-"))]
        assert self._snapshots() == []
        assert self.locks() == []
        running = [item for item in self.target.deployments() if item["status"] in ("queued", "in_progress")]
        assert not running
        status = self.target.status()
        assert status["commit"] == self.old_commit
        assert not status["database"]["read_only"]
        assert self.target.web.get("/api/health").status_code == 200

    def assert_restored(self, *, runs: int = 1) -> None:
        """It ends where an undisturbed run ends.

        :param runs: how many journals there may be.
        """
        assert self.state() == self.good
        assert self.target.stored() == self.good[0]
        assert self._counts() == self.counts
        self.assert_settled()
        {"repoint": self._assert_repointed, "in_place": self._assert_in_place, "snapshot": self._assert_replaced}[
            self.strategy
        ]()
        ends = [(lines[-1]["step"], lines[-1]["phase"]) for lines in self.journals()]
        # Where one journal is enough, a second would be a run that knew nothing of the first.
        assert ends[-1] == ("run", "done") and len(ends) <= runs, ends
        assert self.cutovers()[-1]["proven"]
        assert len(self.cutovers()) == 1 or runs > 1, self.cutovers()
        self.assert_consistent()
        assert self.target.web.post("/api/progress", json={}).status_code == 201

    def _assert_repointed(self) -> None:
        branches = self.target.branches()
        (name,) = set(branches) - {self.old_primary["name"]}
        assert name.startswith("restore-")
        primary = self.target.primary()
        assert primary["name"] == name
        assert primary["parent_id"] == self.old_primary["id"]
        assert primary.get("expires_at") is None
        assert self.target.environ()[self.target.key] == self.target.string()
        assert all(item["disabled"] for item in self.target.endpoints(self.old_primary["id"]))
        assert self.target.sessions(primary["id"]) > 0
        try:
            psycopg.connect(self.old_string, connect_timeout=10).close()
        except psycopg.OperationalError:
            return
        raise AssertionError("the old primary still takes connections")

    def _assert_in_place(self) -> None:
        branches = self.target.branches()
        (name,) = set(branches) - {self.old_primary["name"]}
        assert name.startswith("rollback-")
        assert self.target.string() == self.old_string
        assert self.target.primary()["id"] == self.old_primary["id"]
        assert not any(item["disabled"] for item in self.target.endpoints(self.old_primary["id"]))
        self._assert_kept(branches[name]["id"])

    def _assert_replaced(self) -> None:
        branches = self.target.branches()
        (name,) = set(branches) - {self.old_primary["name"]}
        assert name.startswith("rollback-") and branches[name]["id"] == self.old_primary["id"]
        assert self.target.string() == self.old_string
        primary = self.target.primary()
        assert primary["restored_as"] == self.old_primary["id"] and "parent_id" not in primary
        assert self.target.endpoints(self.old_primary["id"]) == []
        self._assert_kept(branches[name]["id"])

    def _was_replaced(self) -> bool:
        """A branch that came from a snapshot has taken the primary's place: there and, after an undo, back."""
        return any(item.get("restored_as") for item in self.target.branches().values())

    def _snapshots(self) -> list[str]:
        answer = self.target.neon.get(f"/projects/{self.target.project}/snapshots")
        assert answer.is_success, answer.text
        return [item["name"] for item in answer.json()["snapshots"]]

    def _assert_kept(self, branch_id: str) -> None:
        """The state that was replaced is there to go back to."""
        body = {"endpoint": {"branch_id": branch_id, "type": "read_write"}}
        answer = self.target.neon.post(f"/projects/{self.target.project}/endpoints", json=body)
        assert answer.is_success, answer.text
        self.target.settle()
        assert self.target.stored(branch_id) == self.spoilt[0]

    def assert_taken_back(self) -> None:
        """It is as it was before the restore: the old data, the old string, the old primary open for writing."""
        assert self.state() == self.spoilt
        assert self.target.stored() == self.spoilt[0]
        assert self._counts() == self.spoilt_counts
        self.assert_settled()
        assert self.target.string() == self.old_string
        assert self.target.primary()["name"] == self.old_primary["name"]
        assert self.target.environ()[self.target.key] == self.old_string
        assert not any(item["disabled"] for item in self.target.endpoints(self.old_primary["id"]))
        ends = [lines[-1] for lines in self.journals()]
        assert all(line["step"] == "run" and line["phase"] in ("undone", "failed") for line in ends), ends
        self.assert_consistent(back=True)
        assert self.target.web.post("/api/progress", json={}).status_code == 201

    def writes(self, since: int) -> list[str]:
        """The requests after that one that could have changed something, proofs of an ability left out."""
        found = [f"{r['method']} {r['path']}" for r in self.control.requests(since) if r["method"] != "GET"]
        return without_probes(found)

    def wait_for_end_of(self, processes: list[int]) -> None:
        """Until none of them runs."""

        def ended(pid: int) -> bool:
            try:
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                return True

        wait_for(lambda: all(ended(pid) for pid in processes), seconds=5, what=f"the end of {processes}")

    def wait_for_state(self, state: State) -> None:
        """Until the application answers it."""
        wait_for(lambda: self.state() == state, seconds=60, what=f"the state {state}")
