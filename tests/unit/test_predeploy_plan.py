# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""predeploy_plan: each rule that asks for a backup, what is pending, and when there is one already."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._plan.commits import same_commit
from ansible_collections.rewind.database.plugins.module_utils._postgres.migrations import TOOLS
from ansible_collections.rewind.database.plugins.module_utils._predeploy.files import (
    CONFIGURATION,
    MIGRATIONS,
    matching,
    pending,
)
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays
from ansible_collections.rewind.database.tests.unit.plan_world import MAIN, NOW, World, branch, cutover
from ansible_collections.rewind.database.tests.unit.tools import call_module
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]
COMMIT = "4f2a9c1e8b7d6053a1c2e4f60718293a4b5c6d7e"
HARMLESS = ["src/app.ts", "README.md"]


def options(world: World, *, manifest: Json | None = None, deployments: Json | None = None, **request: Any) -> Json:
    """The options of the module for a world."""
    found = {"deployments": [], "running": [], "last_finished": None, **(deployments or {})}
    return copy.deepcopy(
        {
            "branches": world.branches,
            "application": {
                "application": world.application,
                "version": world.version,
                "abilities": world.abilities,
            },
            "deployments": found,
            "records": world.records,
            "backups": world.backups,
            "manifest": manifest,
            "request": {"target": "tracker", "now": NOW, "commit": COMMIT, **request},
        }
    )


def plan(world: World | None = None, **more: Any) -> Json:
    """The plan, through the module."""
    result = call_module("predeploy_plan", options(world or World(), **more))
    assert not result.get("failed"), result["msg"]
    found: Json = result["plan"]
    return found


def rules(made: Json) -> list[str]:
    return [item["rule"] for item in made["reasons"]]


def test_code_alone_needs_no_backup() -> None:
    """Given changed files of which none concerns the database, then none is needed."""
    made = plan(changed_files=HARMLESS)
    assert (made["needed"], made["reasons"], made["problems"]) == (False, [], [])
    assert made["text"][0] == f"A backup is not needed before deploying {COMMIT}."


def test_what_is_not_known_needs_one() -> None:
    """Given nothing but a commit, then a backup is needed; a person who says that there is no migration is believed."""
    assert rules(plan()) == ["unknown"]
    assert plan(schema_migration=False)["needed"] is False


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"backup": "always"}, "asked_for"),
        ({"schema_migration": True}, "schema_migration"),
        ({"changed_files": ["prisma/migrations/2_b/migration.sql"]}, "schema_migration"),
        ({"changed_files": ["apps/web/prisma/schema.prisma"]}, "schema_migration"),
        ({"major_deployment": "new quest engine"}, "major_deployment"),
        ({"major_deployment": "true"}, "major_deployment"),
        ({"bulk_operation": "merge users"}, "bulk_operation"),
        ({"bulk_operation": "true"}, "bulk_operation"),
        ({"configuration_change": "yes"}, "configuration_change"),
        ({"changed_files": ["docker-compose.prod.yml"]}, "configuration_change"),
        ({"changed_files": [".env.production"]}, "configuration_change"),
    ],
)
def test_each_rule_asks_for_one(said: Json, rule: str) -> None:
    """Given what the runbook says to back up before, then that rule is the reason, and the backup says so."""
    made = plan(**{"changed_files": HARMLESS, **said})
    assert rules(made) == [rule] and made["needed"]
    assert made["reason"] == f"before deploying {COMMIT}: {rule.replace('_', ' ')}"
    assert made["notes"] == {"before_commit": COMMIT}


@pytest.mark.parametrize("no", ["", "false", "no", "None"])
def test_a_no_is_a_no(no: str) -> None:
    """Given a flag that says no in words, then it is no reason."""
    assert (
        plan(changed_files=HARMLESS, bulk_operation=no, configuration_change=no, major_deployment=no)["reasons"] == []
    )


def test_so_many_changed_files_are_a_major_deployment() -> None:
    """Given as many changed files as the target says, whatever they are, then a backup is needed; 0 is no number."""
    many = [f"src/{number}.ts" for number in range(50)]
    made = plan(changed_files=many)
    assert rules(made) == ["major_deployment"] and made["needed"]
    assert made["reasons"][0]["why"] == "50 files change; 50 or more are a major deployment"
    assert plan(changed_files=many[1:])["reasons"] == []
    assert rules(plan(changed_files=many[:3], major_files=3)) == ["major_deployment"]
    assert plan(changed_files=many, major_files=51)["reasons"] == []
    assert plan(changed_files=many, major_files=0)["reasons"] == []
    assert rules(plan(changed_files=many, major_deployment="no")) == ["major_deployment"], "no files are fewer for it"


def test_a_connection_string_changed_in_coolify_is_a_change_of_configuration() -> None:
    """Given a row newer than the last deployment, then the deployment is the first to read it."""
    world = World()
    key = world.application["environment"][0]["key"]
    world.application["environment"][0]["updated_at"] = "2025-01-13T14:00:00Z"
    before = {"last_finished": {"commit": "abc", "finished_at": "2025-01-13T13:00:00Z"}}
    assert key in plan(world, changed_files=HARMLESS, deployments=before)["reasons"][0]["why"]
    after = {"last_finished": {"commit": "abc", "finished_at": "2025-01-13T14:30:00Z"}}
    assert plan(world, changed_files=HARMLESS, deployments=after)["reasons"] == []


def migrated(tool: str, head: str, count: int) -> Json:
    return {"migration": {"tool": tool, "table": "t", "head": head, "count": count}}


def prisma(*names: str) -> list[str]:
    return [f"prisma/migrations/{name}/migration.sql" for name in names]


def test_a_migration_that_the_database_has_not_seen_is_named() -> None:
    """Given the code's migrations and the database's newest, then those after it are pending, without any range."""
    made = plan(files=[*HARMLESS, *prisma("1_a", "2_b", "3_c")], manifest=migrated("prisma", "1_a", 1))
    assert made["migration"]["pending"] == ["2_b", "3_c"] and rules(made) == ["schema_migration"]
    assert "2_b, 3_c" in made["reasons"][0]["why"]
    done = plan(files=[*HARMLESS, *prisma("1_a", "2_b")], manifest=migrated("prisma", "2_b", 2))
    assert done["reasons"] == [] and done["migration"]["known"]


def test_what_cannot_be_compared_counts_as_pending() -> None:
    """Given a database that is ahead, an unknown tool, or one that was not read, then a backup is needed."""
    files = prisma("1_a", "2_b")
    for manifest in (migrated("prisma", "3_c", 3), migrated("alembic", "ae1027a6", 2), None):
        made = plan(files=files, manifest=manifest)
        assert rules(made) == ["schema_migration"] and not made["migration"]["known"], manifest
    assert "3_c, is not among" in plan(files=files, manifest=migrated("prisma", "3_c", 3))["reasons"][0]["why"]
    empty = plan(files=files, manifest={"migration": None})
    assert len(empty["migration"]["pending"]) == 2 and "has seen no migration" in empty["reasons"][0]["why"]


def test_an_older_one_that_was_merged_late_is_found() -> None:
    """Given a migration with an older name that the database has not seen, then the count gives it away."""
    found = pending(prisma("1_a", "2_late", "3_c"), migrated("prisma", "3_c", 2)["migration"])
    assert found.known and found.names == ("1 before 3_c",) and "older than its newest" in found.why


@pytest.mark.parametrize(
    ("tool", "old", "new", "head", "expected"),
    [
        (
            "rails",
            "db/migrate/20250101000000_a.rb",
            "db/migrate/20250102000000_b.rb",
            "20250101000000",
            "20250102000000",
        ),
        ("golang-migrate", "migrations/9_a.up.sql", "migrations/10_b.up.sql", "9", "10"),
        ("goose", "migrations/00009_a.sql", "migrations/00010_b.sql", "9", "10"),
        ("sqlx", "migrations/9_a.sql", "migrations/10_b.sql", "9", "10"),
        (
            "diesel",
            "migrations/2025-01-01-000000_a/up.sql",
            "migrations/2025-01-02-000000_b/up.sql",
            "20250101000000",
            "20250102000000",
        ),
        ("flyway", "sql/V1_9__a.sql", "sql/V1_10__b.sql", "1.9", "1.10"),
        ("knex", "migrations/1_a.js", "migrations/2_b.js", "1_a.js", "2_b.js"),
        ("laravel", "migrations/2025_01_01_a.php", "migrations/2025_01_02_b.php", "2025_01_01_a", "2025_01_02_b"),
    ],
)
def test_each_tools_names_are_read(tool: str, old: str, new: str, head: str, expected: str) -> None:
    """Given the files of a tool, then its own order counts: numbers as numbers."""
    migration = {"tool": tool, "head": head, "count": 1}
    assert pending([new, old], migration).names == (expected,)
    assert pending([old], migration).names == ()
    assert pending([new, old], {**migration, "head": expected, "count": 2}).names == ()


@given(
    tool=st.sampled_from([item.name for item in TOOLS]),
    files=st.lists(st.text(max_size=30), max_size=6),
    head=st.text(max_size=20),
)
def test_no_file_name_breaks_it(tool: str, files: list[str], head: str) -> None:
    """Given any names, then there is an answer, and nothing is pending that is not known."""
    found = pending(files, {"tool": tool, "head": head, "count": 3})
    assert found.known or (not found.names and found.why)


def test_patterns_of_files_stay_in_their_folder() -> None:
    """Given patterns, then `*` does not cross a folder and `**` does."""
    assert matching(["a/b.sql", "b.sql", "a/c/b.sql"], ["*.sql"]) == ["b.sql"]
    assert matching(["a/b.sql", "b.sql", "a/c/b.sql"], ["**/*.sql"]) == ["a/b.sql", "b.sql", "a/c/b.sql"]
    assert matching(["src/migrations.ts", "docs/immigration/x.md"], MIGRATIONS) == []
    assert matching(["src/environment.ts", "compose.yaml", "app/.env"], CONFIGURATION) == ["compose.yaml", "app/.env"]


def test_a_commit_is_needed_and_must_look_like_one() -> None:
    """Given no commit, or something that git could take for an option, then that is a problem with what to do."""
    assert plan(commit="")["problems"][0]["code"] == "commit_missing"
    for wrong in ("--output=x", "a b", "$(rm)", "x" * 200):
        assert plan(commit=wrong)["problems"][0]["code"] == "commit_invalid", wrong
    assert plan(commit="v1.5.0")["problems"] == []


def test_a_deployment_that_runs_already_is_too_late() -> None:
    """Given that Coolify deploys that commit now, then no backup before it can be made; another one is a warning."""
    late = plan(deployments={"running": [{"uuid": "d1", "commit": COMMIT}]})
    assert late["problems"][0]["code"] == "already_deploying"
    other = plan(deployments={"running": [{"uuid": "d1", "commit": "HEAD"}]})
    assert other["problems"] == [] and any("queued or running" in warning for warning in other["warnings"])


def backed_up(**more: Any) -> World:
    """A world with a backup that was made before the commit, ten minutes ago."""
    at = "2025-01-13T14:50:00Z"
    world = World().add(branch("br-backup-b1", "backup-20250113-145000", parent_id=MAIN, parent_timestamp=at))
    record = {
        "branch_id": "br-backup-b1",
        "name": "backup-20250113-145000",
        "target": "tracker",
        "restore_point": at,
        "before_commit": COMMIT,
        "verified": True,
    }
    world.backups = [{**record, **more}]
    return world


def test_the_backup_of_the_same_commit_is_found_again() -> None:
    """Given a backup before the same commit, then it counts while it is new, verified and there, and not deployed."""
    found = plan(backed_up())["found"]
    assert (found["name"], found["branch_id"]) == ("backup-20250113-145000", "br-backup-b1")
    assert plan(backed_up(), commit=COMMIT[:12])["found"]
    for other in ({"verified": False}, {"target": "other"}, {"before_commit": "abcdef1"}, {"branch_id": "br-gone"}):
        assert plan(backed_up(**other))["found"] is None, other
    assert plan(backed_up(), unless_older_than=300)["found"] is None
    deployed = {"deployments": [{"uuid": "d1", "commit": COMMIT, "created_at": "2025-01-13T14:55:00Z"}]}
    assert plan(backed_up(), deployments=deployed)["found"] is None
    assert plan(backed_up(), changed_files=HARMLESS)["found"] is None, "none is needed"


RESTORED_AT = "2025-01-13T14:55:00Z"
CUT_OVER = f"the application was cut over to other data at {RESTORED_AT}"


def _repoint(world: World) -> None:
    world.add(branch("br-new", "restore-20250113-120000", parent_id=MAIN, compute="ep-new-one-b2"))
    world.point_row_to("ep-new-one-b2")
    world.records.append(cutover(RESTORED_AT, "repoint", MAIN, "br-new"))


def _in_place(world: World) -> None:
    world.records.append(cutover(RESTORED_AT, "in_place", MAIN, MAIN, preserved_branch_id="br-kept"))


def _in_place_by_hand(world: World) -> None:
    world.add(branch("br-kept", "main_old"))
    world.branches[1]["parent_id"] = "br-kept"


def _snapshot(world: World) -> None:
    world.branches[0].update(name="rollback-20250113-145500", endpoints=[])
    world.add(branch("br-root", "main", compute="ep-main-compute-a1"))
    world.records.append(cutover(RESTORED_AT, "snapshot", MAIN, "br-root"))


def _taken_back(world: World) -> None:
    world.records.append(cutover("2025-01-13T14:52:00Z", "repoint", MAIN, "br-gone"))
    world.records.append(cutover(RESTORED_AT, "repoint", "br-gone", MAIN, undone=True))


def _by_hand(world: World) -> None:
    world.add(branch("br-new", "staging", compute="ep-new-one-b2")).point_row_to("ep-new-one-b2")


def _used(world: World) -> None:
    world.records.append({"event": "used", "branch_id": "br-backup-b1", "target": "tracker"})


@pytest.mark.parametrize(
    ("happened", "why"),
    [
        (_repoint, CUT_OVER),
        (_in_place, CUT_OVER),
        (_in_place_by_hand, "it was made from main_old, and the primary is main"),
        (_snapshot, CUT_OVER),
        (_taken_back, f"a restore was taken back at {RESTORED_AT}"),
        (_by_hand, "it was made from main, and the primary is staging"),
        (_used, "an application has used it since"),
    ],
)
def test_the_backup_of_other_data_is_not_taken_for_one_of_todays(happened: Callable[[World], None], why: str) -> None:
    """Given a backup before the same commit, and other data since, then another is made, and the plan says why."""
    world = backed_up()
    happened(world)
    made = plan(world)
    assert made["needed"] and made["found"] is None and made["problems"] == []
    assert made["not_taken"] == {
        "name": "backup-20250113-145000",
        "branch_id": "br-backup-b1",
        "at": "2025-01-13T14:50:00Z",
        "why": f"the earlier backup backup-20250113-145000 is not taken: {why}",
    }
    assert f"There is none yet: {made['not_taken']['why']}." in made["text"]


def test_what_was_restored_before_it_or_elsewhere_does_not_count_against_a_backup() -> None:
    """Given a cutover before the backup, and one of another target, then the backup holds the data of today."""
    world = backed_up()
    world.records.append(cutover("2025-01-13T14:40:00Z", "in_place", MAIN, MAIN))
    world.records.append(cutover(RESTORED_AT, "in_place", MAIN, MAIN, target="other"))
    made = plan(world)
    assert made["found"]["branch_id"] == "br-backup-b1" and made["not_taken"] is None


def test_one_that_is_too_old_or_was_deployed_since_is_not_taken_either() -> None:
    """Given an earlier backup, then why it is not taken is said; where none is needed nothing is said of it."""
    old = plan(backed_up(), unless_older_than=300)
    assert old["not_taken"]["why"].endswith("is not taken: it was made 10 min ago, and is found again for 5 min")
    deployed = {"deployments": [{"uuid": "d1", "commit": COMMIT, "created_at": RESTORED_AT}]}
    assert plan(backed_up(), deployments=deployed)["not_taken"]["why"].endswith(f"{COMMIT} was deployed since")
    assert plan(backed_up(), changed_files=HARMLESS)["not_taken"] is None


def test_never_only_says_what_the_rules_say() -> None:
    """Given backup=never, then nothing is made, and the reasons and a warning are there."""
    made = plan(backup="never", schema_migration=True)
    assert not made["needed"] and rules(made) == ["schema_migration"] and made["warnings"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (COMMIT, COMMIT[:7], True),
        (COMMIT.upper(), COMMIT[:12], True),
        (COMMIT, COMMIT[:6], False),
        ("v1.5", "v1.5", True),
        ("v1.5", "v1.5.0", False),
        ("", "", False),
    ],
)
def test_commits_are_compared_as_git_does(one: str, other: str, same: bool) -> None:
    """Given two texts, then a hash of seven characters or more stands for the whole one, and a tag for itself."""
    assert same_commit(one, other) is same and same_commit(other, one) is same


def test_both_ways_say_the_same(both_ways: BothWays) -> None:
    """Given a world, when its plan is made in the controller's process and as a module, then the results are equal."""
    given = {name: value for name, value in options(World()).items() if value is not None}
    assert both_ways.same("predeploy_plan", given, check_mode=True)["plan"]["needed"] is True
