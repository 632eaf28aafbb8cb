# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's settings: by dotted name, kept, checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.settings import (
    PROFILES,
    SettingError,
    Settings,
    connection_path,
    default_root,
    parse_assignments,
)


def test_given_an_override_when_loaded_then_it_beats_the_file_and_the_rest_stays_default(tmp_path: Path) -> None:
    kept = Settings.load(tmp_path, {"coolify.build_seconds": "3", "neon.plan": "free", "latency.neon": 0.5})
    kept.save()
    again = Settings.load(tmp_path, {"coolify.build_seconds": "0.25"})
    assert again.coolify.build_seconds == 0.25
    assert again.neon.plan == "free"
    assert again.latency == {"neon": 0.5, "coolify": 0.0, "control": 0.0}
    assert again.coolify.status_poll_seconds == 60.0


def test_given_an_action_the_defaults_do_not_name_when_set_then_it_is_kept_over_a_save(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {"neon.operation_seconds.prewarm_replica": "1.5"})
    settings.save()
    assert Settings.load(tmp_path).neon.operation_seconds["prewarm_replica"] == 1.5


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("coolify.bild_seconds", 1, "known: coolify.build_seconds"),
        ("neon", 1, "there is no setting neon"),
        ("neon.operation_seconds", 1, "there is no setting"),
        ("coolify.build_seconds.x", 1, "there is no setting"),
        ("latency.elsewhere", 1, "there is no setting"),
        ("root", "/", "there is no setting root"),
        ("coolify.build_seconds", "soon", "takes a float"),
        ("coolify.build_seconds", -1, "zero or more"),
        ("coolify.build_seconds", "nan", "zero or more"),
        ("rows", True, "takes a int"),
        ("coolify.version", "4.9", "4.3.11"),
        ("neon.plan", "business", "free, launch, scale"),
    ],
)
def test_given_a_wrong_setting_when_changed_then_the_error_names_it_and_nothing_changed(
    tmp_path: Path, name: str, value: object, said: str
) -> None:
    settings = Settings(root=tmp_path)
    before = settings.flat()
    with pytest.raises(SettingError) as caught:
        settings.change({"coolify.stop_seconds": 9, name: value})
    assert name in str(caught.value)
    assert said in str(caught.value)
    assert settings.flat() == before


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_given_a_profile_when_applied_then_every_name_in_it_exists(tmp_path: Path, profile: str) -> None:
    understood = Settings(root=tmp_path).change(PROFILES[profile])
    assert understood == PROFILES[profile]


def test_given_defaults_then_they_are_the_services_own(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    assert (settings.coolify.build_seconds, settings.coolify.status_poll_seconds) == (60.0, 60.0)
    assert (settings.coolify.rate_limit_per_minute, settings.coolify.queue_limit) == (200, 25)
    assert settings.neon.requests_per_minute == 700


def test_given_a_broken_settings_file_when_loaded_then_the_message_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingError, match=r"settings\.json is not JSON"):
        Settings.load(tmp_path)


def test_given_environments_then_root_and_connection_file_follow_them() -> None:
    both = {"REWIND_SANDBOX_DIR": "/a", "REWIND_SANDBOX_CONNECTION": "/b/c.json"}
    assert (default_root(both), connection_path(both)) == (Path("/a"), Path("/b/c.json"))
    assert connection_path({"REWIND_SANDBOX_DIR": "/a"}) == Path("/a/connection.json")
    assert connection_path({}).parts[-2:] == (".sandbox", "connection.json")
    assert default_root({}).parent == Path("/var/tmp")


def test_given_assignments_when_parsed_then_values_may_hold_an_equals_sign() -> None:
    assert parse_assignments(["a.b=1", "c=x=y"]) == {"a.b": "1", "c": "x=y"}
    with pytest.raises(SettingError, match="name=value"):
        parse_assignments(["a.b"])
