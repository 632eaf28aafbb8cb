# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the Coolify side: versions, values, hosts, health, routes, logs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._coolify.applications import migration_hints, rolling
from ansible_collections.rewind.database.plugins.module_utils._coolify.client import api_url, listed
from ansible_collections.rewind.database.plugins.module_utils._coolify.deployments import Deployment, LogScrubber
from ansible_collections.rewind.database.plugins.module_utils._coolify.health import HealthRule, Reading, Soak
from ansible_collections.rewind.database.plugins.module_utils._coolify.routes import Source, choose
from ansible_collections.rewind.database.plugins.module_utils._coolify.rows import (
    Permissions,
    Row,
    Wanted,
    plan_present,
)
from ansible_collections.rewind.database.plugins.module_utils._coolify.values import (
    HostSet,
    altered,
    arriving,
    shared_references,
)
from ansible_collections.rewind.database.plugins.module_utils._coolify.versions import Version
from ansible_collections.rewind.database.plugins.module_utils._errors import ApiError, InvalidInput, Refused
from hypothesis import given
from hypothesis import strategies as st

LATEST = Version.parse("4.3.11")
SHA = "3f2c1b0a9e8d7c6b5a4938271605f4e3d2c1b0a9"
OTHER_SHA = "a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0"


# -- versions ----------------------------------------------------------------------------------------------------------


def test_betas_sort_below_their_release() -> None:
    """Given texts of /version, when they are compared, then every beta is older than the release of its number."""
    texts = [
        "4.0.0-beta.434",
        "4.0.0-beta.435",
        "4.0.0-beta.470",
        "4.0.0",
        "4.1.2",
        "4.2.0",
        "4.3.0",
        "4.3.11",
        "4.10.0",
    ]
    assert sorted(texts, key=Version.parse) == texts
    assert [str(Version.parse(text)) for text in texts] == texts


@pytest.mark.parametrize(
    ("text", "flags", "cancel", "comment", "hidden", "rollback"),
    [
        ("4.0.0-beta.434", False, False, False, False, False),
        ("4.0.0-beta.436", True, True, False, False, False),
        ("4.1.2", True, True, True, False, False),
        ("4.2.0", True, True, True, True, False),
        ("4.3.11", True, True, True, True, True),
    ],
)
def test_each_profile_can_what_its_source_says(
    text: str, flags: bool, cancel: bool, comment: bool, hidden: bool, rollback: bool
) -> None:
    """Given a version, then its gates are those of Coolify's source."""
    version = Version.parse(text)
    assert (version.accepts_flags, version.can_cancel, version.accepts_comment) == (flags, cancel, comment)
    assert (version.hides_locked_values, version.can_roll_back) == (hidden, rollback)


def test_the_page_of_a_proxy_is_not_a_version() -> None:
    """Given a login page instead of a version, then the error says where to look."""
    with pytest.raises(ApiError, match="coolify_api_url"):
        Version.parse("<html>Sign in</html>")


def test_an_old_version_refuses_to_write_rows() -> None:
    """Given a version that drops flags, when a row is to be written, then it refuses and names the floor."""
    with pytest.raises(Refused, match=r"4\.0\.0-beta\.435"):
        Version.parse("4.0.0-beta.434").require_flags("write")


@pytest.mark.parametrize("url", ["https://c.example.com", "https://c.example.com/api/v1/", "https://c.example.com/api"])
def test_the_address_may_be_given_with_or_without_its_path(url: str) -> None:
    """Given an address with or without /api/v1, then requests go to the same place."""
    assert api_url(url) == "https://c.example.com/api/v1"


# -- lists -------------------------------------------------------------------------------------------------------------


def test_lists_are_read_in_each_of_their_shapes_in_order() -> None:
    """Given an array, an object keyed by index, or {count, deployments}, then the same list is read."""
    first, second = {"id": 1}, {"id": 2}
    assert listed([first, second], verb="x") == [first, second]
    assert listed({"10": second, "2": first}, verb="x") == [first, second]
    assert listed({"count": 2, "deployments": [first, second]}, under="deployments", verb="x") == [first, second]


@pytest.mark.parametrize("body", [{"message": "x"}, "text", None, [1]])
def test_an_unreadable_list_is_never_an_empty_one(body: Any) -> None:
    """Given another shape, then it is an error: nothing found must mean that there is nothing."""
    with pytest.raises(ApiError, match="not a list"):
        listed(body, verb="list things")


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_uri_arrives_as_meant_in_both_kinds_of_rows() -> None:
    """Given a password with characters that Coolify or compose would change, then they are percent-encoded."""
    value = "postgresql://u:p$a'b#c@host/db?x=1"
    assert arriving(value, literal=False, key="K") == "postgresql://u:p%24a%27b%23c@host/db?x=1"
    assert arriving(value, literal=True, key="K") == "postgresql://u:p$a%27b%23c@host/db?x=1"


def test_a_literal_row_refuses_a_quote_that_would_break_it() -> None:
    """Given a value that is no URI with a single quote in a literal row, then it is refused without being shown."""
    with pytest.raises(InvalidInput) as error:
        arriving("it's-secret-9f8e7d", literal=True, key="MOTTO")
    assert "MOTTO" in error.value.msg and "9f8e7d" not in error.value.msg


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30))
def test_encoding_twice_changes_nothing_more(password: str) -> None:
    """Given any password that stands in a URI, when it is encoded twice, then the second time changes nothing."""
    value = f"postgresql://u:{password.replace('@', '').replace('/', '')}@host/db"
    for literal in (True, False):
        once = arriving(value, literal=literal, key="K")
        assert arriving(once, literal=literal, key="K") == once


def test_what_compose_would_change_is_named() -> None:
    """Given values that are no URIs, then the reasons why they arrive changed are given, and none for literal rows."""
    assert altered("cost $5", literal=False) and altered("a #b", literal=False) and altered('say "x"', literal=False)
    assert altered("cost $5", literal=True) == [] and altered('{"a": "$x"}', literal=False) == []


def test_shared_references_are_found() -> None:
    """Given a value made of shared variables, then each is named with its scope."""
    assert shared_references("{{team.DB}}-{{ project.X_Y }}") == ["team.DB", "project.X_Y"]
    assert shared_references("{{other.X}} {team.DB}") == []


HOST = "ep-cool-frost-a1b2c3d4.eu-central-1.aws.neon.tech"
POOLED = "ep-cool-frost-a1b2c3d4-pooler.eu-central-1.aws.neon.tech"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"postgresql://u:p@{HOST}/db", (HOST, False, None)),
        (f"postgresql://u:p@{POOLED}:5432/db", (POOLED, True, "5432")),
        (f"jdbc:postgresql://{HOST.upper()}/db", (HOST.upper(), False, None)),
        (HOST, (HOST, False, None)),
        (f"postgresql://u:p@x{HOST}/db", None),
        (f"postgresql://u:p@{HOST}.example.com/db", None),
        ("postgresql://u:p@ep-cool-frost-a1b2c3d4-x.eu-central-1.aws.neon.tech/db", None),
        (None, None),
    ],
)
def test_a_host_is_found_in_any_text_direct_or_pooled(value: str | None, expected: Any) -> None:
    """Given values of env rows, then the host is found however it is written, and never inside of another name."""
    assert HostSet([HOST]).find(value) == expected
    assert HostSet([POOLED]).find(value) == expected


def test_a_port_tells_hosts_apart_only_where_the_value_names_one() -> None:
    """Given host:port, then a value with another port is somebody else's, and one without a port is not ruled out."""
    hosts = HostSet(["localhost:5501"])
    assert hosts.find("postgresql://u:p@localhost:5501/db") == ("localhost", False, "5501")
    assert hosts.find("postgresql://u:p@localhost:5502/db") is None
    assert hosts.find("localhost") == ("localhost", False, None)


# -- rows --------------------------------------------------------------------------------------------------------------


def row(**more: Any) -> Row:
    body = {"uuid": "row1", "key": "K", "value": "old", "is_preview": False, "is_literal": True, "is_buildtime": False}
    return Row.read({**body, **more})


def test_a_row_keeps_every_flag_that_is_not_named() -> None:
    """Given a literal row that is not for the build, when only its value changes, then all flags are sent back."""
    change = plan_present([row(comment="why")], Wanted("K", False, "new"), Permissions())
    assert change.changed
    assert change.body(LATEST) == {
        "key": "K",
        "value": "new",
        "is_preview": False,
        "is_literal": True,
        "is_multiline": False,
        "is_shown_once": False,
        "is_runtime": True,
        "is_buildtime": False,
        "comment": "why",
    }
    assert "comment" not in change.body(Version.parse("4.0.0-beta.460"))


def test_the_same_value_and_flags_are_no_change() -> None:
    """Given a row as wanted, white space at the ends aside, then nothing changes."""
    assert not plan_present([row()], Wanted("K", False, " old\n"), Permissions()).changed


def test_the_preview_row_of_a_key_is_another_variable() -> None:
    """Given a production and a preview row, when the production row is meant, then only its flags and value count."""
    rows = [row(uuid="preview", is_preview=True, value="old"), row(value="other")]
    assert plan_present(rows, Wanted("K", False, "old"), Permissions()).changed
    assert not plan_present(rows, Wanted("K", True, "old"), Permissions()).changed


def test_two_rows_of_one_key_are_refused_by_uuid() -> None:
    """Given duplicates, then nothing is planned and both uuids are named."""
    with pytest.raises(Refused, match="row1, row2"):
        plan_present([row(), row(uuid="row2")], Wanted("K", False, "new"), Permissions())


def test_a_locked_row_is_refused_unless_allowed_and_then_always_written() -> None:
    """Given a row whose value nobody can read, then it is written only when allowed, and with a warning."""
    locked = Row.read({"uuid": "row1", "key": "K", "is_shown_once": True})
    with pytest.raises(Refused, match="overwrite_locked"):
        plan_present([locked], Wanted("K", False, "new"), Permissions())
    change = plan_present([locked], Wanted("K", False, "new"), Permissions(overwrite_locked=True))
    assert change.changed and change.flags["is_shown_once"] is True and "cannot be read back" in change.warnings[0]


def test_a_hidden_value_names_the_missing_ability() -> None:
    """Given a row without a value that is not locked, then the token lacks read:sensitive."""
    with pytest.raises(Refused, match="read:sensitive"):
        plan_present([Row.read({"uuid": "row1", "key": "K"})], Wanted("K", False, "new"), Permissions())


def test_a_shared_value_is_not_cut_off_by_accident() -> None:
    """Given a row that takes its value from a shared variable, then writing needs permission; so does writing one."""
    shared = row(value="{{team.DB}}", is_shared=True)
    with pytest.raises(Refused, match=r"team\.DB"):
        plan_present([shared], Wanted("K", False, "new"), Permissions())
    with pytest.raises(InvalidInput, match="allow_shared"):
        plan_present([row()], Wanted("K", False, "{{team.DB}}"), Permissions())
    assert plan_present([shared], Wanted("K", False, "new"), Permissions(allow_shared=True)).changed
    assert not plan_present([shared], Wanted("K", False, "{{team.DB}}"), Permissions(allow_shared=True)).changed


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
