# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook run by ansible-runner, as AWX runs it, and what it leaves read back from the files alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.playbooks import Playbooks
from tests.support.runner import EVENTS, PROJECT, Job, Runner, unanswered
from tests.support.sandbox import CLONE
from tests.support.targets import Target, Targets, text_of

PLAYBOOKS = {path.stem for path in (CLONE / "playbooks").glob("*.yml")} - {"targets", "targets_report"}
"""What a person runs: the rest are parts of these."""


@dataclass
class World:
    """What the jobs of this module work on."""

    playbooks: Playbooks
    runner: Runner
    target: Target
    at: str
    """An instant at which the application said "before"."""

    def backup(self) -> str:
        """The name of a backup; one is made where there is none."""
        for _ in range(2):
            for name in self.target.branches():
                if name.startswith("backup-"):
                    return name
            self.playbooks.backup(target=self.target.name).ok()
        raise AssertionError("no backup was made")


@dataclass(frozen=True)
class Row:
    """How a playbook is run here.

    :param answers: of its survey.
    :param modules: whose events must be there, without ``rewind.database.``
    """

    modules: set[str]
    answers: Callable[[World], dict[str, Any]] = field(default=lambda world: {})
    options: tuple[str, ...] = ()


def _at(world: World) -> dict[str, Any]:
    return {"point_in_time": world.at}


# What takes long, or changes what others work on, is run with --check or without a backup here, and in full below.
TABLE = {
    "backup": Row({"neon_branch", "postgres_manifest", "run_record"}, lambda _: {"reason": "before migration 42"}),
    "audit": Row({"audit_lines"}, lambda _: {"fail_on": "never"}),
    "cleanup": Row({"cleanup_plan", "run_report"}),
    "predeploy": Row({"predeploy_plan"}, lambda _: {"commit": "4f2a9c1", "backup": "never"}),
    "plan": Row({"restore_plan"}, _at),
    "restore": Row({"restore_plan"}, _at, ("--check", "--diff")),
    "find_restore_point": Row({"find_restore_point_plan", "postgres_bisect"}, lambda _: {"check": "Users are there"}),
    "drill": Row({"drill_plan"}, lambda _: {"mode": "pitr"}, ("--check", "--diff")),
    "promote": Row({"promote_plan"}, lambda world: {"branch": world.backup()}, ("--check", "--diff")),
}
SLOW = {"drill", "find_restore_point", "plan", "predeploy", "promote", "restore"}
# They need a restore that stands.
AFTER_A_RESTORE = {"incident", "undo", "salvage"}


@pytest.fixture(scope="module")
def world(playbooks: Playbooks, targets: Targets, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The sandbox's tracker and an instant of it, and a folder that the jobs leave their artifacts in."""
    target = targets.given()
    at = target.say("before")
    target.say("after")
    return World(playbooks, Runner(playbooks, tmp_path_factory.mktemp("runner")), target, text_of(at))


def successful(job: Job, role: str) -> dict[str, Any]:
    """Fails the test unless the job's files say that it succeeded; the result of the role."""
    assert (job.rc, job.status) == (0, "successful"), job.stdout[-4000:]
    events = job.events
    assert [event["counter"] for event in events] == list(range(1, len(events) + 1)), "no event is missing"
    assert {event["event"] for event in events} >= EVENTS
    assert "PLAY RECAP" in job.stdout and "[WARNING]" not in job.stdout
    return job.fact(f"{role}_result")


def test_every_playbook_is_in_the_project_and_in_the_table() -> None:
    """Given the folder of the playbooks, then each has a file of a project and is run by this module."""
    assert {path.stem for path in PROJECT.glob("*.yml")} >= PLAYBOOKS, "make a file in awx/project for it"
    assert TABLE.keys() | AFTER_A_RESTORE >= PLAYBOOKS, "say in TABLE what it is run with"
    for name in PLAYBOOKS:
        assert f"import_playbook: rewind.database.{name}\n" in (PROJECT / f"{name}.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) if name in SLOW else name for name in TABLE if name in PLAYBOOKS],
)
def test_a_playbook_leaves_its_artifacts(name: str, world: World) -> None:
    """Given a job, then its files have its end, what it printed, an event per task of ours, and the role's result.

    Questions that nobody has answered come as the empty texts that AWX sends.
    """
    row = TABLE[name]
    since = world.target.sandbox.control.last_request()
    answers = unanswered(f"{name}.yml") | {"target": world.target.name} | row.answers(world)
    job = world.runner.run(f"{name}.yml", *row.options, **answers)
    result = successful(job, name)
    assert {f"rewind.database.{module}" for module in row.modules} <= job.modules
    assert result or "--check" in row.options, "the role says its result"
    if "--check" in row.options:
        asked = world.target.sandbox.control.requests(since)
        assert {request["method"] for request in asked} <= {"GET"}, "a dry run only reads"


@pytest.mark.long
def test_a_job_hands_the_list_that_is_to_be_approved_to_the_next_node(world: World) -> None:
    """Given a backup past its date, then the hash of the list is an artifact, and with it just that list is deleted."""
    run, name = world.runner.run, world.target.name
    short = successful(run("backup.yml", target=name, reason="short", retention_days=0.00001), "backup")
    successful(run("backup.yml", target=name, reason="newer"), "backup")
    listed = run("cleanup.yml", target=name)
    result = successful(listed, "cleanup")
    assert listed.statistics == {"confirm": result["hash"]} and result["deleted"] == []
    done = successful(run("cleanup.yml", target=name, **listed.statistics), "cleanup")
    assert [branch["name"] for branch in done["deleted"]] == [short["name"]]


def test_a_job_that_fails_says_so_in_its_artifacts_and_asks_nobody(world: World) -> None:
    """Given what cannot be done, then the job ends failed, with the reason, and waits for nobody's answer."""
    job = world.runner.run("undo.yml", target=world.target.name, run="20250113T142500Z-restore-1a2b3c")
    assert (job.rc, job.status) == (2, "failed")
    failed = [event for event in job.events if event["event"] == "runner_on_failed"]
    assert failed and "20250113T142500Z-restore-1a2b3c" in str(failed)
    # A job without the folder that the others share knows of no run.
    alone = world.runner.folder / "alone"
    forgetful = world.runner.run("undo.yml", target=world.target.name, rewind_state_dir=str(alone))
    assert forgetful.rc == 2 and str(alone) in forgetful.text
    unknown = world.runner.run("backup.yml", target="nobody")
    assert (unknown.rc, unknown.status) == (
        2,
        "failed",
    ) and 'No host of this inventory matches "nobody"' in unknown.text


def test_the_tokens_of_a_credential_are_in_no_artifact(world: World, playbooks: Playbooks) -> None:
    """Given tokens in the environment, as a credential brings them, then nothing of Ansible's has one, even at -vvvv.

    The runner's own file ``command`` has all of the environment: the stories here remove it, as docs/teams.md says.
    """
    tokens = {"NEON_API_KEY": "napi_canary0000000000000000", "COOLIFY_ACCESS_TOKEN": "7|canary" + "0" * 40}
    playbooks.secrets |= {*tokens.values()}
    job = world.runner.run("audit.yml", "-vvvv", environment=tokens, target=world.target.name, fail_on="never")
    assert successful(job, "audit")["lines"]


@pytest.mark.long
def test_a_production_target_without_a_yes_is_refused_and_not_asked_for(world: World) -> None:
    """Given production and no confirmation, then the job does not wait on the terminal that the runner gives it."""
    job = world.runner.run(
        "restore.yml", target=world.target.name, rewind_environment="production", cutover="repoint", **_at(world)
    )
    assert (job.rc, job.status) == (2, "failed")
    assert f"-e confirm={world.target.name}" in job.text


@pytest.mark.long
def test_what_takes_long_is_run_in_full(world: World) -> None:
    """Given a backup before a deployment and a restore, then incident, salvage, undo, a drill and the promotion of that
    backup are jobs too, each with its result."""
    target, run = world.target, world.runner.run
    deployed = successful(run("predeploy.yml", target=target.name, commit="4f2a9c2"), "predeploy")
    assert deployed["needed"] and deployed["changed"] and deployed["backup"] in target.branches()
    restored = successful(run("restore.yml", target=target.name, point_in_time=world.at, cutover="repoint"), "restore")
    assert restored["changed"] and target.served() == "before"
    assert successful(run("incident.yml", target=target.name, soak_seconds=3), "incident")
    if "salvage" in PLAYBOOKS:
        out = world.runner.folder / "lost.sql"
        assert successful(run("salvage.yml", target=target.name, out=str(out)), "salvage")
    assert successful(run("undo.yml", target=target.name, accept_loss="true"), "undo")["outcome"] == "undone"
    assert target.served() == "after"
    assert successful(run("drill.yml", target=target.name, mode="pitr"), "drill")
    promoted = successful(run("promote.yml", target=target.name, branch=deployed["backup"]), "promote")
    assert promoted["changed"] and target.primary()["id"] == promoted["branch"]["id"] and target.served() == "after"
