# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deployments, health and routes are judged to be: pure functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._coolify.applications import migration_hints, rolling
from ansible_collections.rewind.database.plugins.module_utils._coolify.deployments import Deployment, LogScrubber
from ansible_collections.rewind.database.plugins.module_utils._coolify.health import HealthRule, Reading, Soak
from ansible_collections.rewind.database.plugins.module_utils._coolify.routes import Source, choose
from ansible_collections.rewind.database.plugins.module_utils._coolify.rows import read_rows, texts_of
from ansible_collections.rewind.database.plugins.module_utils._coolify.versions import Version
from ansible_collections.rewind.database.plugins.module_utils._errors import InvalidInput, Refused

LATEST = Version.parse("4.3.11")
SHA = "3f2c1b0a9e8d7c6b5a4938271605f4e3d2c1b0a9"
OTHER_SHA = "a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0"


# -- deployments and logs ----------------------------------------------------------------------------------------------


def deployment(status: str = "finished", **more: Any) -> Deployment:
    return Deployment.read({"deployment_uuid": "d1", "status": status, "commit": SHA, **more})


@pytest.mark.parametrize("status", ["finished", "failed", "cancelled-by-user"])
def test_every_terminal_status_ends_the_wait(status: str) -> None:
    """Given a terminal status as Coolify spells it, then the deployment no longer runs."""
    assert not deployment(status).is_running
    assert deployment(status).is_finished is (status == "finished")


def test_an_unknown_status_is_neither_success_nor_the_end() -> None:
    """Given a status that nobody knows, then it runs until Coolify says when it ended, and is never success."""
    assert deployment("paused").is_running and not deployment("paused").is_finished
    assert not deployment("paused", finished_at="2026-01-01T00:00:00Z").is_running


def logs(*outputs: str, hidden: tuple[str, ...] = ()) -> str:
    entries = [{"output": text, "hidden": False} for text in outputs]
    return json.dumps([*entries, *({"output": text, "hidden": True} for text in hidden)])


def test_whether_a_build_was_skipped_is_read_from_the_log_only() -> None:
    """Given logs, then a skipped build, a build, and a log that does not say or cannot be read are told apart."""
    skipped = "No build configuration changed & image found (x:1) with the same Git Commit SHA. Build step skipped."
    assert deployment(logs=logs("Starting.", skipped)).build_skipped is True
    assert deployment(logs=logs("Build configuration changed. Rebuilding image.")).build_skipped is False
    assert deployment(logs=logs("Image not found (x:1). Building new image.")).build_skipped is False
    assert deployment(logs=logs("Starting.")).build_skipped is None
    assert deployment().build_skipped is None


def test_log_lines_are_shown_without_hidden_commands_and_secrets() -> None:
    """Given a log with a value of an env row and a password, then neither they nor Coolify's own commands are shown."""
    found = deployment(
        logs=logs(
            "connect postgresql://u:Zk8vQ2wX7pLm@h/db",
            "API_TOKEN=tok-5h3Kf9 done",
            "region is fra-unlisted-secret",
            hidden=("docker exec",),
        )
    )
    tail = LogScrubber(["fra-unlisted-secret", "x"]).tail(found.lines)
    assert len(tail) == 3 and "docker exec" not in str(tail)
    for secret in ("Zk8vQ2wX7pLm", "tok-5h3Kf9", "fra-unlisted-secret"):
        assert secret not in str(tail)
    assert tail[1].endswith(" done")


@pytest.mark.parametrize(
    ("value", "shown", "secret"),
    [
        ("redis://cache:p%40ss-Wm4Tq@host/0", "auth with p@ss-Wm4Tq now", "p@ss-Wm4Tq"),
        ("redis://cache:p%40ss-Wm4Tq@host/0", "auth with p%40ss-Wm4Tq now", "p%40ss-Wm4Tq"),
        ("https://h/hook?api_key=k-9Zx8Cv7B&v=1", "sent k-9Zx8Cv7B there", "k-9Zx8Cv7B"),
        ("-----BEGIN\nMIIEvQIBADANBgkq\n-----END", "MIIEvQIBADANBgkq", "MIIEvQIBADANBgkq"),
        ("'a\\'quoted-value'", "it says a'quoted-value here", "a'quoted-value"),
        ("first-half\nx1\nother-half", "x0\nfirst-half\nx1\nother-half", "x1"),
    ],
    ids=["decoded", "encoded", "parameter", "line", "escaped", "several lines"],
)
def test_what_is_part_of_a_value_is_taken_out_too(value: str, shown: str, secret: str) -> None:
    """Given a value of which a log shows a part, or the whole over several lines, then that is not shown."""
    tail = LogScrubber([value]).tail(tuple(shown.split("\n")))
    assert secret not in "\n".join(tail) and "*" in "".join(tail), tail


def test_the_resolved_form_of_a_row_is_taken_out() -> None:
    """Given a row that takes its value from a shared variable, then what the container gets is not shown."""
    rows = read_rows([{"uuid": "u", "key": "A", "value": "{{team.TOKEN}}", "real_value": "'shared-Hk3Lp9'"}])
    assert LogScrubber(texts_of(rows)).line("using shared-Hk3Lp9") == "using ********"
    assert "shared-Hk3Lp9" not in repr(rows)


# -- health ------------------------------------------------------------------------------------------------------------


def reading(status: str, *, checked: bool = True, server: bool = True, probe: bool | None = None) -> Reading:
    return Reading.read({"status": status, "server_status": server, "health_check_enabled": checked}, probe)


def feed(rule: HealthRule, *readings: tuple[float, Reading]) -> bool | None:
    soak = Soak(rule)
    verdict = None
    for since, found in readings:
        verdict = soak.feed(found, since)
        if verdict is not None:
            return verdict
    return verdict


RULE = HealthRule(LATEST, soak=6)


def test_one_healthy_reading_proves_nothing() -> None:
    """Given a container that reads healthy while it starts, then it takes several readings over the soak time."""
    good = reading("running:healthy")
    assert feed(RULE, (0, good), (3, good)) is None
    assert feed(RULE, (0, good), (6, good)) is None
    assert feed(RULE, (0, good), (3, good), (6, good)) is True


def test_the_unhealthy_flicker_after_a_good_rollout_is_waited_out() -> None:
    """Given running:unhealthy right after the deployment and healthy after that, then it passes."""
    readings = [(float(at), reading("running:unhealthy")) for at in range(0, 60, 3)]
    readings += [(float(at), reading("running:healthy")) for at in range(60, 70, 3)]
    assert feed(RULE, *readings) is True


def test_lasting_bad_health_fails_after_the_grace() -> None:
    """Given running:unhealthy for longer than the grace, then it fails, but not by one reading."""
    bad = reading("running:unhealthy")
    assert feed(RULE, (80, bad), (90, bad), (95, bad), (99, bad)) is None
    assert feed(RULE, (80, bad), (90, bad), (95, bad), (100, bad)) is False
    assert feed(RULE, (90, bad), (110, bad)) is None


def test_a_relapse_starts_the_soak_anew() -> None:
    """Given good readings with a bad one between, then the time counts from the last bad one."""
    good, bad = reading("running:healthy"), reading("running:unhealthy")
    assert feed(RULE, (0, good), (3, good), (5, bad), (7, good), (10, good)) is None


@pytest.mark.parametrize("status", ["exited:unhealthy", "degraded:unhealthy", "restarting:unknown", "exited"])
def test_a_container_that_does_not_run_fails_without_waiting_for_the_grace(status: str) -> None:
    """Given a crash loop or a stopped container that lasts, then it fails; one that passes is a container's start."""
    bad, good = reading(status), reading("running:healthy")
    assert feed(RULE, (0, bad), (1, bad), (2, bad), (3, good), (6, good), (9, good)) is True
    assert feed(RULE, (0, bad), (5, bad), (10, bad)) is False


def test_no_health_check_is_accepted_only_where_none_is_configured() -> None:
    """Given running:unknown, then it is good without a health check and not good with one."""
    unknown, expected = reading("running:unknown", checked=False), reading("running:unknown")
    assert feed(RULE, (0, unknown), (3, unknown), (6, unknown)) is True
    assert feed(RULE, (0, expected), (3, expected), (6, expected)) is None


def test_an_old_version_reads_unhealthy_where_there_is_no_check() -> None:
    """Given a version before beta.445, then running:unhealthy without a health check is all that it will ever say."""
    old = HealthRule(Version.parse("4.0.0-beta.435"), soak=6)
    found = reading("running:unhealthy", checked=False)
    assert feed(old, (0, found), (3, found), (6, found)) is True


def test_the_status_of_an_unreachable_server_says_nothing() -> None:
    """Given a healthy status while Coolify cannot reach the server, then it is neither good nor bad."""
    stale = reading("running:healthy", server=False)
    assert feed(RULE, *((float(at), stale) for at in range(0, 200, 3))) is None


def test_a_cached_status_does_not_decide_against_the_application_itself() -> None:
    """Given a healthy status and a health_url that fails, then it does not pass, and fails after the grace."""
    found = reading("running:healthy", probe=False)
    assert feed(RULE, (0, found), (3, found), (6, found)) is None
    assert feed(RULE, (91, found), (96, found), (101, found)) is False


# -- routes ------------------------------------------------------------------------------------------------------------


def source(**more: Any) -> Source:
    return Source.read({"uuid": "app", "build_pack": "nixpacks", "git_commit_sha": "HEAD", **more})


def route(version: str, found: Source, *, action: Any = "deploy", commit: str = "running", force: bool = False) -> Any:
    return choose(Version.parse(version), found, [deployment()], action=action, commit=commit, force=force)


def test_the_running_commit_is_rolled_back_to_where_that_exists() -> None:
    """Given 4.3, then the running commit is deployed by rollback, which does not look up the branch."""
    chosen = route("4.3.11", source())
    assert (chosen.request, chosen.commit, chosen.pin) == ("rollback", SHA, None)


def test_before_4_3_the_commit_is_pinned_for_the_restart() -> None:
    """Given 4.2, then the application is set to the running commit, and the old setting is known."""
    chosen = route("4.2.0", source())
    assert chosen.request == "restart" and chosen.pin is not None
    assert (chosen.pin.field, chosen.pin.value, chosen.pin.before) == ("git_commit_sha", SHA, "HEAD")
    assert "build the image of that commit again" in chosen.notes[0]
    assert (
        route("4.2.0", source(git_commit_sha=SHA)).pin is None and not route("4.2.0", source(git_commit_sha=SHA)).notes
    )


@pytest.mark.parametrize("pack", ["dockerfile", "dockercompose"])
def test_packs_that_ignore_a_restart_are_deployed(pack: str) -> None:
    """Given a pack that ignores restart_only, then it is deployed with its commit pinned."""
    chosen = route("4.2.0", source(build_pack=pack))
    assert chosen.request == "deploy" and chosen.pin is not None and chosen.pin.value == SHA


def test_compose_is_never_rolled_back() -> None:
    """Given a compose application on 4.3, then its commit is pinned: a rollback would mean nothing for it."""
    chosen = route("4.3.11", source(build_pack="dockercompose"))
    assert chosen.request == "deploy" and chosen.pin is not None and chosen.notes


def test_an_image_is_pinned_by_its_tag() -> None:
    """Given an application made of an image, then a commit is a tag, and the running one needs no pin."""
    image = source(build_pack="dockerimage", docker_registry_image_tag="v2")
    assert route("4.3.11", image).pin is None and route("4.3.11", image).request == "deploy"
    pinned = route("4.3.11", image, commit="v1").pin
    assert pinned is not None and (pinned.field, pinned.value, pinned.before) == (
        "docker_registry_image_tag",
        "v1",
        "v2",
    )


def test_a_dockerfile_in_coolify_has_no_commits() -> None:
    """Given an inline Dockerfile, then it is deployed as it is, and naming a commit is an error."""
    inline = source(build_pack="dockerfile", dockerfile="FROM scratch")
    assert route("4.3.11", inline).request == "deploy"
    with pytest.raises(InvalidInput, match="no commits"):
        route("4.3.11", inline, commit=OTHER_SHA)


def test_the_running_commit_must_be_known() -> None:
    """Given no finished deployment that names a commit, then it refuses instead of taking the head of the branch."""
    with pytest.raises(Refused, match="commit to configured"):
        choose(LATEST, source(), [deployment(commit="HEAD")], action="deploy", commit="running", force=False)
    chosen = choose(LATEST, source(), [], action="restart", commit="configured", force=False)
    assert (chosen.request, chosen.commit) == ("restart", None)


def test_force_builds_again_on_the_same_commit() -> None:
    """Given force on 4.3, then a rollback (which cannot force) is not used, and the commit is pinned."""
    chosen = route("4.3.11", source(), force=True)
    assert chosen.request == "deploy" and chosen.force and chosen.pin is not None


def test_a_rollback_needs_a_commit() -> None:
    """Given a rollback to nothing in particular, then it is refused."""
    with pytest.raises(InvalidInput, match="Set commit"):
        route("4.3.11", source(), action="rollback")


# -- applications ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"ports_mappings": "8080:80"}, "host ports"),
        ({"settings": {"is_consistent_container_name_enabled": True}}, "consistent container name"),
        ({"settings": {"custom_internal_name": "db"}}, "custom container name"),
        ({"custom_docker_run_options": "--cap-add=X --ip 10.0.0.2"}, "--ip"),
        ({"build_pack": "dockercompose"}, "compose"),
        ({"destination_type": "App\\Models\\SwarmDocker"}, "swarm"),
    ],
)
def test_what_is_not_rolling_is_recognised(body: dict[str, Any], reason: str) -> None:
    """Given a setting for which Coolify stops the old container first, then it is named (rule 6)."""
    found = rolling(body)
    assert found["ok"] is False and reason in found["reasons"][0]


def test_an_ordinary_application_is_rolling() -> None:
    """Given none of these settings, then it is rolling; --ipc is not --ip."""
    assert rolling({"build_pack": "nixpacks", "custom_docker_run_options": "--ipc=host"}) == {"ok": True, "reasons": []}


def test_commands_that_may_migrate_are_named_without_secrets() -> None:
    """Given commands around a deployment and a start command that migrates, then both are named and cleaned."""
    body = {
        "pre_deployment_command": "psql postgresql://u:Hn4Gd8sK2@h/db -c 'select 1'",
        "start_command": "npx prisma migrate deploy && node server.js",
        "build_command": "npm run build",
    }
    hints = migration_hints(body, [])
    assert [hint["where"] for hint in hints] == ["pre_deployment_command", "start_command"]
    assert "Hn4Gd8sK2" not in str(hints)
