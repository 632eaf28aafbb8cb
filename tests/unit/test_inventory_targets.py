# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory plugin targets: which applications become hosts, which are listed with a reason, and which are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _http
from ansible_collections.rewind.database.tests.unit.inventory_world import (
    COOLIFY_URL,
    OTHER_DATABASE,
    PASSWORD,
    PROXY,
    Read,
    World,
    dsn,
    read,
    reasons,
    row,
)
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, NEON_KEY


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Both services in place of the network, and their tokens in the environment."""
    world = World()
    monkeypatch.setattr(_http, "open_transport", lambda **_options: world.transport())
    monkeypatch.setenv("NEON_API_KEY", NEON_KEY)
    monkeypatch.setenv("COOLIFY_ACCESS_TOKEN", COOLIFY_TOKEN)
    monkeypatch.setenv("COOLIFY_API_URL", COOLIFY_URL)
    return world


def test_an_application_on_neon_is_a_host_with_every_id(world: World, tmp_path: Path) -> None:
    """Given an application on Neon, then its host has all that the playbooks need, and is in a group of each kind."""
    world.database("ep-calm-sea-1", branch="main")
    uuid = world.application("tracker", row("LOG_LEVEL", "info"), row("DATABASE_URL", dsn("ep-calm-sea-1")))
    found = read(tmp_path)
    assert found.names("rewind_targets") == found.names() == ["tracker_production"]
    host = found["tracker_production"]
    assert {name: value for name, value in host.items() if not name.startswith("rewind_found_")} == {
        "rewind_supported": True,
        "rewind_environment": "production",
        "rewind_neon_api_url": "https://console.neon.tech/api/v2",
        "rewind_neon_project_id": "shop-12345678",
        "rewind_neon_database": "shop",
        "rewind_neon_role": "shop_owner",
        "rewind_coolify_api_url": COOLIFY_URL,
        "rewind_coolify_application": uuid,
        "rewind_coolify_env_key": "DATABASE_URL",
    }
    ids = ("project", "environment", "server")
    assert [host[f"rewind_found_{kind}_uuid"] for kind in ids] == ["project-0", "environment-100", "server-0"]
    assert (host["rewind_found_branch_id"], host["rewind_found_endpoint_id"]) == ("br-shop-main", "ep-calm-sea-1")
    assert found.groups("tracker_production") == {
        "rewind_targets",
        "project_shop",
        "environment_production",
        "server_hetzner_1",
        "branch_shop_main",
        "health_healthy",
    }


def test_a_pooled_host_leads_to_the_same_compute(world: World, tmp_path: Path) -> None:
    """Given a pooled connection string and a direct one beside it, then the usual variable counts."""
    world.database("ep-calm-sea-1")
    rows = [row("DIRECT_URL", dsn("ep-calm-sea-1")), row("DATABASE_URL", dsn("ep-calm-sea-1", pooled=True))]
    world.application("tracker", *rows)
    host = read(tmp_path)["tracker_production"]
    assert (host["rewind_coolify_env_key"], host["rewind_found_pooled"]) == ("DATABASE_URL", True)
    assert host["rewind_found_endpoint_id"] == "ep-calm-sea-1"


def test_another_variable_counts_where_the_usual_one_is_missing(world: World, tmp_path: Path) -> None:
    """Given a string in a variable of another name, then it is found; two that lead to two branches are not guessed."""
    world.database("ep-one-1", branch="main")
    world.database("ep-two-2", branch="other")
    world.application("clear", row("PGHOST", f"ep-one-1.{PROXY}"), row("POSTGRES_URL", dsn("ep-one-1")))
    world.application("unclear", row("WRITE_URL", dsn("ep-one-1")), row("READ_URL", dsn("ep-two-2")))
    found = read(tmp_path)
    assert found["clear_production"]["rewind_coolify_env_key"] == "POSTGRES_URL"
    assert "WRITE_URL and READ_URL lead to different branches" in reasons(found)["unclear_production"]
    named = read(tmp_path, env_keys=["READ_URL"])
    assert named["unclear_production"]["rewind_found_branch"] == "other"
    assert named.names("rewind_unsupported") == []


def test_applications_on_other_databases_are_left_out(world: World, tmp_path: Path) -> None:
    """Given other databases, none at all and a name like Neon's, then none is a host unless asked for."""
    world.database("ep-calm-sea-1")
    world.application("internal", row("DATABASE_URL", OTHER_DATABASE), row("TOKEN", None, hidden=True))
    world.application("static")
    world.application("mimic", row("DATABASE_URL", dsn("", host=f"ep-calm-sea-1.{PROXY}.evil.example")))
    world.application("mysql", row("DATABASE_URL", "mysql://u:p@db/x"))
    assert read(tmp_path).names() == []
    assert [path for path in world.paths("neon") if "endpoints" in path] == [], "no project is read for nothing"
    listed = read(tmp_path, list_others=True)
    assert listed.names("rewind_unsupported") == [
        "internal_production",
        "mimic_production",
        "mysql_production",
        "static_production",
    ]
    assert set(reasons(listed).values()) == {"None of its variables leads to Neon."}


def test_rows_of_previews_do_not_count(world: World, tmp_path: Path) -> None:
    """Given preview rows, then production's say where the application is, and a copy is no duplicate."""
    world.database("ep-live-1", branch="main")
    world.database("ep-preview-2", branch="preview")
    preview = row("DATABASE_URL", dsn("ep-preview-2"), is_preview=True)
    world.application("tracker", row("DATABASE_URL", dsn("ep-live-1")), preview)
    world.application("internal", row("DATABASE_URL", OTHER_DATABASE), preview)
    found = read(tmp_path)
    assert found.names() == ["tracker_production"]
    assert found["tracker_production"]["rewind_found_branch"] == "main"


def _shared(world: World) -> None:
    world.database("ep-calm-sea-1")
    world.shared = {
        "team": [row("DB", dsn("ep-calm-sea-1"))],
        "projects/project-0": [row("PROJECT_DB", dsn("ep-calm-sea-1")), row("OTHER", OTHER_DATABASE)],
        "projects/project-0/environments/environment-100": [row("ENV_DB", dsn("ep-calm-sea-1"))],
        "servers/server-0": [row("SERVER_DB", dsn("ep-calm-sea-1")), row("PASSWORD", PASSWORD)],
    }


@pytest.mark.parametrize("reference", ["team.DB", "project.PROJECT_DB", "environment.ENV_DB", "server.SERVER_DB"])
def test_a_shared_variable_is_followed_and_named_in_the_reason(world: World, tmp_path: Path, reference: str) -> None:
    """Given a string in a shared variable of any scope, then the ids are filled in, and why no run works on it."""
    _shared(world)
    world.application("tracker", row("DATABASE_URL", "{{ " + reference + " }}"))
    host = read(tmp_path)["tracker_production"]
    assert host["rewind_supported"] is False
    assert f"the shared variable {reference}" in host["rewind_unsupported_reason"]
    assert "the application's own variable" in host["rewind_unsupported_reason"]
    assert (host["rewind_neon_project_id"], host["rewind_found_branch"]) == ("shop-12345678", "main")


def test_a_shared_variable_counts_only_where_it_is_seen(world: World, tmp_path: Path) -> None:
    """Given another project, a reference to nothing, to another database and a shared password, then each is judged."""
    _shared(world)
    world.application("first", row("DATABASE_URL", "{{project.OTHER}}"))
    world.application("stranger", row("DATABASE_URL", "{{project.PROJECT_DB}}"), project="Second")
    part = dsn("ep-calm-sea-1").replace(PASSWORD, "{{server.PASSWORD}}")
    world.application("parts", row("DATABASE_URL", part))
    found = read(tmp_path)
    assert found.names() == ["parts_production", "stranger_production"]
    assert "cannot be read" in reasons(found)["stranger_production"]
    assert "server.PASSWORD" in reasons(found)["parts_production"]


def test_before_4_3_shared_variables_cannot_be_read(world: World, tmp_path: Path) -> None:
    """Given an older Coolify, then a reference is unknown, and places are known all the same."""
    _shared(world)
    world.version = "4.2.0"
    world.application("tracker", row("DATABASE_URL", "{{team.DB}}"))
    world.application("plain", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    found = read(tmp_path)
    assert "taken from a shared variable that cannot be read" in reasons(found)["tracker_production"]
    assert {"project_shop", "server_hetzner_1"} <= found.groups("plain_production")
    assert not [path for path in world.paths("coolify") if path.endswith("/envs") and "applications" not in path]


def test_another_row_is_not_taken_for_one_that_is_not_known(world: World, tmp_path: Path) -> None:
    """Given a usual variable whose shared part nobody sees, then what a second row leads to is not the target."""
    world.version = "4.2.0"
    world.database("ep-calm-sea-1")
    world.application("tracker", row("DATABASE_URL", "{{team.DB}}"), row("ANALYTICS_URL", dsn("ep-calm-sea-1")))
    found = read(tmp_path)
    assert found.names("rewind_targets") == []
    assert "DATABASE_URL is taken from a shared variable" in reasons(found)["tracker_production"]


def test_what_cannot_be_read_is_listed_as_unknown(world: World, tmp_path: Path) -> None:
    """Given locked rows, hidden values and a list that is refused, then each is listed, with what to do."""
    world.database("ep-calm-sea-1")
    world.application("locked", row("DATABASE_URL", None, hidden=True, is_shown_once=True))
    world.application("hidden", row("DATABASE_URL", None, hidden=True), row("LOG", None, hidden=True))
    refused = world.application("refused")
    world.answers[f"/applications/{refused}/envs"] = (403, {"message": "Missing required permissions: read"})
    world.application(
        "beside",
        row("DATABASE_URL", None, hidden=True, is_shown_once=True),
        row("DIRECT_URL", dsn("ep-calm-sea-1")),
    )
    found = read(tmp_path)
    assert found.names("rewind_targets") == []
    said = reasons(found)
    assert "DATABASE_URL is locked" in said["locked_production"]
    assert "read:sensitive" in said["hidden_production"] and "DATABASE_URL and LOG" in said["hidden_production"]
    assert "Missing required permissions: read" in said["refused_production"]
    assert "DATABASE_URL is locked" in said["beside_production"], "what it leads to is not known from the other row"
    assert all(found.groups(host) == {"rewind_unsupported"} for host in found.names())


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        pytest.param(
            [{**row("DATABASE_URL", dsn("ep-a-1")), "uuid": "one"}, {**row("DATABASE_URL", "x"), "uuid": "two"}],
            "2 rows named DATABASE_URL (uuids one, two)",
            id="duplicate",
        ),
        pytest.param([row("DATABASE_URL", dsn("ep-gone-9"))], "no project that this key of Neon may see", id="unseen"),
        pytest.param([row("DATABASE_URL", dsn("ep-read-2"))], "leads to a read replica", id="replica"),
        pytest.param([row("PGHOST", f"ep-a-1.{PROXY}")], "is no connection string", id="host alone"),
        pytest.param(
            [row("DATABASE_URL", dsn("ep-a-1").replace(":" + PASSWORD, f":{PASSWORD}@x"))],
            "more than one @",
            id="unusable",
        ),
        pytest.param([row("DATABASE_URL", dsn("ep-a-1") + "&host=elsewhere")], "as a parameter", id="parameters"),
    ],
)
def test_what_a_run_would_refuse_is_not_a_target(world: World, tmp_path: Path, rows: list[Any], reason: str) -> None:
    """Given rows that every playbook would stop at, then the application is listed with the reason."""
    world.database("ep-a-1")
    world.database("ep-read-2", type="read_only")
    world.application("tracker", *rows)
    found = read(tmp_path)
    assert found.names("rewind_targets") == []
    assert reason in reasons(found)["tracker_production"]


def test_services_are_listed_and_never_targets(world: World, tmp_path: Path) -> None:
    """Given services, then those on Neon or unreadable are listed with the reason, with a variable of their own."""
    world.database("ep-calm-sea-1")
    on_neon = world.application("umami", row("DATABASE_URL", dsn("ep-calm-sea-1")), kind="service")
    world.application("plausible", row("DATABASE_URL", OTHER_DATABASE), kind="service")
    world.application("hidden", row("PASSWORD", None, hidden=True), kind="service")
    found = read(tmp_path)
    assert found.names() == found.names("rewind_unsupported") == ["hidden_production", "umami_production"]
    host = found["umami_production"]
    assert "It is a service of Coolify" in host["rewind_unsupported_reason"]
    assert (host["rewind_coolify_service"], host["rewind_found_branch"]) == (on_neon, "main")
    assert "rewind_coolify_application" not in host


def test_lists_are_read_however_coolify_wraps_them(world: World, tmp_path: Path) -> None:
    """Given a list as an object keyed by index, then nothing of it is missed."""
    world.database("ep-calm-sea-1")
    for number in range(12):
        world.application(f"app{number}", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    world.answers["/applications"] = (200, {str(n): item for n, item in enumerate(world.applications)})
    assert len(read(tmp_path).names("rewind_targets")) == 12


def test_all_pages_of_neon_are_read(world: World, tmp_path: Path) -> None:
    """Given more projects than a page holds, then the compute is found on the last one."""
    for number in range(7):
        world.database(f"ep-many-{number}", project=f"many{number}")
    world.application("last", row("DATABASE_URL", dsn("ep-many-6")))
    world.page = 2
    assert read(tmp_path)["last_production"]["rewind_neon_project_id"] == "many6-12345678"
    assert world.paths("neon").count("/projects") == 5, "four pages, and one to see that there is no more"


def test_projects_are_read_only_until_every_host_is_found(world: World, tmp_path: Path) -> None:
    """Given many projects, then those of another region come last and are not asked."""
    for number in range(5):
        world.database(f"ep-far-{number}", project=f"far{number}")
        world.neon[-1]["proxy_host"] = "us-east-1.aws.neon.tech"
    world.database("ep-near-1", project="near")
    world.application("near", row("DATABASE_URL", dsn("ep-near-1")))
    read(tmp_path)
    assert [path for path in world.paths("neon") if path.endswith("/endpoints")] == [
        "/projects/near-12345678/endpoints"
    ]


def test_a_project_that_cannot_be_read_hides_no_other(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a project that went away while it was listed, then the others are there, and it is named."""
    for name in ("gone", "here"):
        world.database(f"ep-{name}-1", project=name)
        world.application(name, row("DATABASE_URL", dsn(f"ep-{name}-1")))
    world.answers["neon:/projects/gone-12345678/endpoints"] = (404, {"message": "project not found"})
    found = read(tmp_path)
    assert found.names("rewind_targets") == ["here_production"]
    assert "no project that this key" in reasons(found)["gone_production"]
    assert "project gone-12345678 is left out" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("key", ["org", "personal", "shop-12345678"])
def test_every_kind_of_key_will_do(world: World, tmp_path: Path, key: str) -> None:
    """Given a key of an organization, a person or one project, then its projects are found without being named."""
    world.database("ep-calm-sea-1")
    world.application("tracker", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    world.key = key
    assert read(tmp_path).names("rewind_targets") == ["tracker_production"]


def test_projects_and_organizations_can_be_named(world: World, tmp_path: Path) -> None:
    """Given ids, then only those are looked in."""
    world.database("ep-calm-sea-1")
    world.database("ep-other-2", project="other")
    world.application("tracker", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    assert read(tmp_path, neon_projects=["other-12345678"]).names("rewind_targets") == []
    world.key = "personal"
    assert read(tmp_path, neon_organizations=["org-b"]).names("rewind_targets") == []
    assert read(tmp_path, neon_organizations=["org-a"]).names("rewind_targets") == ["tracker_production"]


def test_what_a_place_is_called_may_be_unknown(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given projects and resources that cannot be read, then the target is taken for production, and it is said."""
    world.database("ep-calm-sea-1")
    world.application("tracker", row("DATABASE_URL", dsn("ep-calm-sea-1")), environment="staging")
    world.answers["/projects"] = (403, {"message": "no"})
    world.answers["/servers/server-0/resources"] = (404, {"message": "Server not found."})
    found: Read = read(tmp_path)
    assert found.names("rewind_targets") == ["tracker"]
    assert found["tracker"]["rewind_environment"] == "production"
    assert found.groups("tracker") == {"rewind_targets", "branch_shop_main", "health_healthy"}
    said = " ".join(capsys.readouterr().err.split())
    assert "all projects could not be read" in said and "what runs on server hetzner-1 could not be read" in said


@pytest.mark.parametrize(
    ("status", "more", "health"),
    [
        ("running:healthy", {}, "healthy"),
        ("running:unhealthy", {}, "unhealthy"),
        ("running:unknown", {}, "unknown"),
        ("running", {}, "unknown"),
        ("exited:unhealthy", {}, "exited"),
        ("degraded:unhealthy", {}, "degraded"),
        ("running:healthy:excluded", {}, "healthy"),
        ("running:healthy", {"server_status": False}, "unreachable"),
        (None, {}, "unknown"),
    ],
)
def test_health_is_a_group(world: World, tmp_path: Path, status: str | None, more: Any, health: str) -> None:
    """Given a status as Coolify writes it, then its group says in one word how the application is."""
    world.database("ep-calm-sea-1")
    world.application("tracker", row("DATABASE_URL", dsn("ep-calm-sea-1")), status=status, **more)
    assert f"health_{health}" in read(tmp_path).groups("tracker_production")


def test_a_project_that_is_too_slow_for_the_list_is_read_by_itself(world: World, tmp_path: Path) -> None:
    """Given a list that only names a project (unavailable_project_ids), then its applications are targets too."""
    world.database("ep-calm-sea-1", project="shop")
    world.database("ep-dark-sky-2", project="blog")
    world.application("shop", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    world.application("blog", row("DATABASE_URL", dsn("ep-dark-sky-2")))
    both = ("shop-12345678", "blog-12345678")
    for slow, page, each in ((both[1:], 400, False), (both, 1, False), (both, 1, True), (both[1:], 1, True)):
        world.slow, world.page, world.slow_on_each_page = {*slow, *["deleted-12345678"] * each}, page, each
        assert read(tmp_path).names("rewind_targets") == ["blog_production", "shop_production"]
