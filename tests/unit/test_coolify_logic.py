# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the Coolify side: versions, lists, values, hosts, rows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.rewind.database.plugins.module_utils._coolify.client import api_url, listed
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
    assert listed({"deployments": {}}, under="deployments", verb="x") == []
    assert listed({"10": second, "2": first}, verb="x") == [first, second]
    assert listed({"count": 2, "deployments": [first, second]}, under="deployments", verb="x") == [first, second]


@pytest.mark.parametrize("body", [{"message": "x"}, "text", None, [1], {}])
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
