# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory plugin targets: its options, its cache, its errors, and the names that it gives."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError, AnsibleParserError
from ansible_collections.rewind.database.plugins.module_utils import _http
from ansible_collections.rewind.database.plugins.module_utils._targets import hosts
from ansible_collections.rewind.database.tests.unit.inventory_world import (
    COOLIFY_URL,
    PASSWORD,
    PLUGIN,
    World,
    dsn,
    read,
    row,
)
from ansible_collections.rewind.database.tests.unit.tools import COOLIFY_TOKEN, NEON_KEY, FakeClock
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Both services in place of the network, their tokens in the environment, and one application on Neon."""
    world = World()
    monkeypatch.setattr(_http, "open_transport", lambda **_options: world.transport())
    monkeypatch.setenv("NEON_API_KEY", NEON_KEY)
    monkeypatch.setenv("COOLIFY_ACCESS_TOKEN", COOLIFY_TOKEN)
    monkeypatch.setenv("COOLIFY_API_URL", COOLIFY_URL)
    world.database("ep-calm-sea-1")
    world.application("tracker", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    return world


# -- no file, and files ------------------------------------------------------------------------------------------------


def test_the_name_alone_is_an_inventory(world: World, tmp_path: Path) -> None:
    """Given nothing but the environment, then the plugin's own name is enough."""
    assert read(tmp_path, name=True).names("rewind_targets") == ["tracker_production"]


def test_files_of_others_are_declined(tmp_path: Path) -> None:
    """Given files, then those whose names end as they must are taken, and a real file of the plugin's name is not."""
    from ansible_collections.rewind.database.plugins.inventory.targets import InventoryModule

    for name in ("rewind.yml", "prod.rewind.yaml", "hosts.yml", PLUGIN):
        (tmp_path / name).write_text("plugin: x\n", encoding="utf-8")
    plugin = InventoryModule()
    taken = ("rewind.yml", "prod.rewind.yaml", "hosts.yml", PLUGIN, "no.rewind.yml")
    assert [plugin.verify_file(str(tmp_path / name)) for name in taken] == [True, True, False, False, False]


def test_options_may_be_templates(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a token in a file that a lookup reads, then it is used, and a lookup that fails says which option."""
    monkeypatch.delenv("NEON_API_KEY")
    (tmp_path / "key").write_text(NEON_KEY, encoding="utf-8")
    lookup = "{{ lookup('file', '%s') }}"
    assert read(tmp_path, neon_api_key=lookup % (tmp_path / "key")).names() == ["tracker_production"]
    with pytest.raises(AnsibleParserError, match="use the option neon_api_key"):
        read(tmp_path, neon_api_key=lookup % (tmp_path / "missing"))


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("NEON_API_KEY", "napi_wrong_0123456789", ["HTTP 401", "Set neon_api_key or NEON_API_KEY"]),
        ("NEON_API_KEY", "", ["authenticate with Neon: no token was given", "NEON_API_KEY"]),
        ("COOLIFY_ACCESS_TOKEN", "9|wrong0123456789", ["HTTP 401", "expired", "COOLIFY_ACCESS_TOKEN"]),
        ("COOLIFY_ACCESS_TOKEN", "", ["authenticate with Coolify: no token was given", "COOLIFY_ACCESS_TOKEN"]),
        ("COOLIFY_API_URL", "", ["no address was given", "COOLIFY_API_URL"]),
        ("COOLIFY_API_URL", "coolify", ["it is not an http or https address"]),
    ],
)
def test_a_wrong_token_or_address_says_what_to_do(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: list[str]
) -> None:
    """Given a token that is refused or missing, or no address, then an error says the remedy, and no token."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(AnsibleParserError) as raised:
        read(tmp_path)
    for word in words:
        assert word in str(raised.value)
    for secret in (NEON_KEY, COOLIFY_TOKEN, value or NEON_KEY):
        assert secret not in str(raised.value) or variable == "COOLIFY_API_URL"
    if variable == "NEON_API_KEY":
        assert world.paths("coolify") == [], "a wrong key is found out before anything else is read"


def test_too_many_requests_are_waited_out(world: World, tmp_path: Path, clock: FakeClock) -> None:
    """Given a 429 with its pause that lasts beyond the time given, then the error says so after waiting."""
    world.answers["/services"] = (429, {"message": "Too Many Attempts."})
    found = read(tmp_path, wait_timeout=30)
    assert found.names("rewind_targets") == ["tracker_production"]
    assert 25 < sum(clock.slept) < 60


def test_an_unexpected_fault_shows_no_secret(world: World, tmp_path: Path) -> None:
    """Given an answer that nobody thought of, then the error is the plugin's, without any part of a string."""
    world.answers["/applications"] = (200, [{"uuid": "x", "name": "odd", "environment_id": 1}])
    world.envs["x"] = [row("DATABASE_URL", dsn("ep-calm-sea-1"))]
    world.answers["neon:/projects/shop-12345678/branches"] = (200, {"branches": [{"name": PASSWORD}]})
    with pytest.raises(AnsibleParserError, match="unexpected KeyError") as raised:
        read(tmp_path)
    assert PASSWORD not in str(raised.value)


# -- the cache ---------------------------------------------------------------------------------------------------------


def _cached(tmp_path: Path, **more: Any) -> dict[str, Any]:
    folder = str(tmp_path / "cache")
    return {"cache": True, "cache_plugin": "jsonfile", "cache_connection": folder, **more}


def test_the_cache_saves_every_request_and_holds_no_secret(world: World, tmp_path: Path) -> None:
    """Given a cache, then a second reading asks nothing and finds the same, and --flush-cache reads again."""
    options = _cached(tmp_path)
    first = read(tmp_path, **options)
    asked = len(world.requests)
    again = read(tmp_path, **options)
    assert len(world.requests) == asked
    assert again.everything() == first.everything()
    (kept,) = (tmp_path / "cache").iterdir()
    text = kept.read_text(encoding="utf-8") + kept.name
    assert "br-shop-main" in text
    for secret in (PASSWORD, NEON_KEY, COOLIFY_TOKEN, "postgresql://"):
        assert secret not in text
    world.application("second", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    assert read(tmp_path, **options).names() == ["tracker_production"]
    assert read(tmp_path, flush=True, **options).names() == ["second_production", "tracker_production"]
    assert read(tmp_path, **options).names() == ["second_production", "tracker_production"]


@pytest.mark.parametrize("text", ["{", "null", "[]", '{"records": []}'])
def test_a_damaged_cache_is_read_anew(world: World, tmp_path: Path, text: str) -> None:
    """Given a cache of which half was written, or that holds something else, then everything is read and kept again."""
    options = _cached(tmp_path)
    read(tmp_path, **options)
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_text(encoding="utf-8")
    kept.write_text(text, encoding="utf-8")
    assert read(tmp_path, **options).names("rewind_targets") == ["tracker_production"]
    assert kept.read_text(encoding="utf-8") == whole


def test_a_fault_that_passes_is_said_and_never_kept(
    world: World, tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given variables that cannot be read for once, then it is said which target is missing, and the next reading finds
    it; where a project's name is missing there is no inventory, as every host of it would be another one."""
    options = _cached(tmp_path)
    path = f"/applications/{world.applications[0]['uuid']}/envs"
    world.answers[path] = (502, {"message": "Bad gateway"})
    assert read(tmp_path, **options).names("rewind_targets") == []
    said = " ".join(capsys.readouterr().err.split())
    assert "the variables of the application tracker could not be read this time" in said and "Bad gateway" in said
    del world.answers[path]
    assert read(tmp_path, **options).names("rewind_targets") == ["tracker_production"]
    world.answers["/projects"] = (502, {"message": "Bad gateway"})
    with pytest.raises(AnsibleParserError, match="502"):
        read(tmp_path)


def test_a_cache_is_only_for_the_same_question(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given another address, token or option, then the cached hosts are not taken for its own."""
    options = _cached(tmp_path)
    read(tmp_path, **options)
    for more in ({"coolify_api_url": "https://other.example.com"}, {"list_others": True}, {"env_keys": ["X"]}):
        asked = len(world.requests)
        read(tmp_path, **options, **more)
        assert len(world.requests) > asked, more
    monkeypatch.setenv("NEON_API_KEY", "napi_wrong_0123456789")
    with pytest.raises(AnsibleParserError, match="401"):
        read(tmp_path, **options)


def test_what_is_made_of_records_is_not_cached(world: World, tmp_path: Path) -> None:
    """Given a cache, then a change of compose, groups, names or environments counts at once."""
    read(tmp_path, **_cached(tmp_path))
    asked = len(world.requests)
    changed = _cached(tmp_path, compose={"x": "1 + 1"}, environments={"Production": "staging"}, group_by=["health"])
    found = read(tmp_path, **changed, hostnames=["rewind_found_name"])
    assert (found["tracker"]["x"], found["tracker"]["rewind_environment"]) == (2, "staging")
    assert found.groups("tracker") == {"rewind_targets", "health_healthy"}
    assert len(world.requests) == asked


# -- what users of Ansible expect --------------------------------------------------------------------------------------


def test_compose_groups_and_keyed_groups_work_on_every_host(world: World, tmp_path: Path) -> None:
    """Given constructed options, then they see all variables, of hosts that are not supported too."""
    world.application("umami", row("DATABASE_URL", dsn("ep-calm-sea-1")), kind="service")
    found = read(
        tmp_path,
        compose={"rewind_health_url": "'https://' ~ rewind_found_name", "rewind_environment": "'staging'"},
        groups={"guarded": "rewind_found_branch_protected", "never": "false"},
        keyed_groups=[{"key": "rewind_neon_database", "prefix": "db"}, {"key": "rewind_found_kind", "separator": ""}],
    )
    host = found["tracker_production"]
    assert (host["rewind_health_url"], host["rewind_environment"]) == ("https://tracker", "staging")
    assert found.names("guarded") == found.names("db_shop") == ["tracker_production", "umami_production"]
    assert found.names("service") == ["umami_production"]
    assert "never" not in found.data.groups


def test_strict_makes_an_error_of_a_wrong_expression(world: World, tmp_path: Path) -> None:
    """Given expressions over what is not there, then they are passed over, unless strict is true."""
    wrong: dict[str, Any]
    for wrong in ({"compose": {"x": "nothing.at.all"}}, {"hostnames": ["nothing.at.all"]}):
        assert read(tmp_path, **wrong).names() == ["tracker_production"]
        with pytest.raises(AnsibleError, match=r"nothing|Could not set"):
            read(tmp_path, strict=True, **wrong)


def test_strict_does_not_fail_for_what_is_not_supported(world: World, tmp_path: Path) -> None:
    """Given the keyed group of docs/inventory.md and strict, then one locked application takes no target away."""
    world.application("locked", row("DATABASE_URL", None, hidden=True, is_shown_once=True))
    found = read(tmp_path, strict=True, keyed_groups=[{"key": "rewind_neon_database", "prefix": "database"}])
    assert found.names("database_shop") == ["tracker_production"]
    assert found.names("rewind_unsupported") == ["locked_production"]
    # Neither does what is no host at all, and has nothing that a name could be made of.
    world.application("elsewhere", row("DATABASE_URL", "postgresql://db.internal/x"))
    assert "shop" in read(tmp_path, strict=True, hostnames=["rewind_neon_database"]).names("rewind_targets")


def test_an_environment_must_be_one_of_three(world: World, tmp_path: Path) -> None:
    """Given a word that the playbooks do not know, then it is refused: they would not take it for production."""
    with pytest.raises(AnsibleParserError, match="environments holds production: prod"):
        read(tmp_path, environments={"production": "prod"})


def test_two_sources_never_make_one_host_of_two_applications(world: World, tmp_path: Path) -> None:
    """Given two Coolify with an application of one name, in two files of an inventory, then it is an error that says
    what to do, and not one host of which the other is lost; the same application twice is one host."""
    first = read(tmp_path)
    assert read(tmp_path, data=first.data).names() == ["tracker_production"]
    world.applications[0]["uuid"] = other = "of-the-other-coolify-xxx"
    world.envs[other] = [row("DATABASE_URL", dsn("ep-calm-sea-1"))]
    with pytest.raises(AnsibleParserError, match=r"tracker_production is 00a.* in another source of .* hostnames"):
        read(tmp_path, data=first.data)
    named = read(tmp_path, data=first.data, hostnames=["'second_' ~ rewind_found_name"])
    assert named.names() == ["second_tracker", "tracker_production"]


def test_names_are_never_shared_and_never_strange(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given one name three times and one made for a web page, then each host has its own, fit for a folder."""
    for place in ("staging", "production"):
        world.application("tracker", row("DATABASE_URL", dsn("ep-calm-sea-1")), environment=place, project="Second")
    world.application("org/repo:main [x] {{ 7 }}", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    found = read(tmp_path)
    assert found.names("rewind_targets") == [
        "org_repo_main_x_7_production",
        "tracker_production_00axxxxx",
        "tracker_production_20axxxxx",
        "tracker_staging",
    ]
    assert "part of their uuid was added" in " ".join(capsys.readouterr().err.split())
    assert found["org_repo_main_x_7_production"]["rewind_found_name"] == "org/repo:main [x] {{ 7 }}"
    assert found.names("project_second") == ["tracker_production_20axxxxx", "tracker_staging"]


def test_a_host_is_never_called_like_a_group(world: World, tmp_path: Path) -> None:
    """Given an application whose host would have the name of a server's group, then it gets a part of its uuid, and
    every host keeps its own variables and groups."""
    world.application("server", row("DATABASE_URL", dsn("ep-calm-sea-1")), server="production")
    found = read(tmp_path)
    (name,) = found.names("server_production")
    assert name == "server_production_10axxxxx" and found[name]["rewind_found_name"] == "server"
    assert found.names("rewind_targets") == ["server_production_10axxxxx", "tracker_production"]


def test_names_of_which_nothing_is_left_and_uuids_that_begin_alike(world: World, tmp_path: Path) -> None:
    """Given names without a Latin letter, or two of one name whose uuids differ late, then no host is another's."""
    world.application("магазин", row("DATABASE_URL", dsn("ep-calm-sea-1")))
    for number in (1, 2):
        world.application("shop", row("DATABASE_URL", dsn("ep-calm-sea-1")))
        uuid, item = world.applications[-1]["uuid"], world.applications[-1]
        item["uuid"] = f"application-{number}"
        world.envs[item["uuid"]] = world.envs.pop(uuid)
    assert read(tmp_path).names("rewind_targets") == [
        "production_10axxxxx",
        "shop_production_application-1",
        "shop_production_application-2",
        "tracker_production",
    ]


def test_an_environment_is_one_group_however_it_is_written(world: World, tmp_path: Path) -> None:
    """Given one environment in two spellings, then it is one group; two that have no Latin letter are two."""
    for number, place in enumerate(("Production", "прод", "тест")):
        rows = row("DATABASE_URL", dsn("ep-calm-sea-1"))
        world.application(f"n{number}", rows, environment=place, project=f"P{number}")
    found = read(tmp_path)
    assert found.names("environment_production") == ["n0_Production", "tracker_production"]
    unnamed = [name for name in found.data.groups if name.startswith("environment_unnamed")]
    assert sorted(found.names(name) for name in unnamed) == [["n1"], ["n2"]]


def test_groups_of_two_things_with_one_name_are_two(world: World, tmp_path: Path) -> None:
    """Given two Neon branches whose groups would have one name, then neither group holds the other's hosts."""
    world.database("ep-other-2", project="copy")
    world.neon[-1]["name"] = "shop"
    world.application("second", row("DATABASE_URL", dsn("ep-other-2")))
    found = read(tmp_path)
    groups = [name for name in found.data.groups if name.startswith("branch_")]
    assert sorted(found.names(name) for name in groups) == [["second_production"], ["tracker_production"]]


@given(st.text(alphabet=string.ascii_letters + "-_ .0123456789äß", max_size=24))
def test_whatever_is_not_surely_staging_is_production(name: str) -> None:
    """Given any name, then one that says production in any way is production, and so is every unknown one."""
    found = hosts.environment_of(name, {})
    assert found in ("production", "staging")
    assert hosts.environment_of(f"{name}-production", {}) == "production"
    assert hosts.environment_of(None, {}) == hosts.environment_of("", {}) == "production"
    assert (
        hosts.environment_of(f"{name} of nobody knows what", {name + " of nobody knows what": "sandbox"}) == "sandbox"
    )


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("staging", "staging"),
        ("Staging 2", "staging"),
        ("my-dev", "staging"),
        ("pre-production", "production"),
        ("live-test", "production"),
        ("customers", "production"),
        ("devices", "production"),
    ],
)
def test_an_environment_is_judged_by_whole_words(name: str, environment: str) -> None:
    """Given the name of an environment, then only a whole word makes it staging, and one for production wins."""
    assert hosts.environment_of(name, {}) == environment


@given(st.lists(st.tuples(st.text(max_size=6), st.sampled_from(["production", "staging", ""])), max_size=8))
def test_no_two_hosts_share_a_name(items: list[tuple[str, str]]) -> None:
    """Given any names, then each record has a name of its own that no pattern of Ansible's could mean otherwise."""
    records = [
        {"name": name, "uuid": f"{number:08d}xyz", "environment": {"name": environment}}
        for number, (name, environment) in enumerate(items)
    ]
    names = [name for name, _again in hosts.host_names(records, lambda _record: "")]
    assert len({name.lower() for name in names}) == len(names)
    assert all(set(name) <= set(string.ascii_letters + string.digits + "_.-") for name in names)


def test_a_name_does_not_depend_on_what_can_be_read_of_another_application(world: World, tmp_path: Path) -> None:
    """Given an application on another database with the same name, then the target is called the same whether that one
    is left out, listed, or cannot be read for once: journals, locks and confirmations go by the name."""
    other = world.application("tracker", row("DATABASE_URL", "postgresql://db.internal/x"), project="Second")
    named = [read(tmp_path).names("rewind_targets"), read(tmp_path, list_others=True).names("rewind_targets")]
    world.answers[f"/applications/{other}/envs"] = (403, {"message": "Forbidden"})
    named.append(read(tmp_path).names("rewind_targets"))
    world.answers[f"/applications/{other}/envs"] = (502, {"message": "Bad gateway"})
    named.append(read(tmp_path).names("rewind_targets"))
    assert named == [["tracker_production_00axxxxx"]] * 4
