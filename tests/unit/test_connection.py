# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings: rewritten without changing anything else, resolved without showing anything secret."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest
from ansible_collections.rewind.database.plugins.module_utils._connection import (
    ConnectionString,
    describe,
    endpoint_of,
    resolve,
)
from ansible_collections.rewind.database.plugins.module_utils._errors import NotFound, RewindError
from ansible_collections.rewind.database.plugins.module_utils._neon.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._options import NEON
from ansible_collections.rewind.database.plugins.module_utils._uri import ConnectionUri, parse_uri
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.tools import NEON_KEY, FakeTask, Script, call_module, task_of
from hypothesis import assume, given
from hypothesis import strategies as st

Json = dict[str, Any]

P = "/projects/late-frost-12345678"
HOST = "ep-cool-frost-a1b2c3d4.eu-central-1.aws.neon.tech"
OLD_HOST = "ep-old-snow-e5f6a7b8.eu-central-1.aws.neon.tech"
PASSWORD = "npg_Xk29vLqT7zRw"
OLD_PASSWORD = "npg_Bm48sHdY1cPf"
TOLD = f"postgresql://owner:{PASSWORD}@{HOST}/shop?sslmode=require&channel_binding=require"
ENDPOINT: Json = {
    "id": "ep-cool-frost-a1b2c3d4",
    "branch_id": "br-calm-sea-a1b2c3d4",
    "type": "read_write",
    "host": HOST,
}

# Text as it stands in a URI: unreserved characters and percent-encoded ones, in either case of the digits.
ENCODED = st.lists(
    st.one_of(
        st.sampled_from("abzAZ09-._~!$'()*+;"),
        st.builds("%{:02x}".format, st.integers(0, 255)),
        st.builds("%{:02X}".format, st.integers(0, 255)),
    ),
    min_size=1,
    max_size=12,
).map("".join)
HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z][a-z0-9]{0,5}){0,3}", fullmatch=True) | st.sampled_from(
    ["[::1]", "[2001:db8::42]", "127.0.0.1"]
)
QUERY = st.lists(st.builds("x{}={}".format, ENCODED, ENCODED | st.just("")), max_size=4).map("&".join)


@st.composite
def uris(draw: st.DrawFn) -> str:
    scheme = draw(st.sampled_from(["postgres", "postgresql", "postgresql+asyncpg"]))
    password = draw(st.none() | ENCODED)
    port = draw(st.none() | st.integers(1, 65535))
    query = draw(st.none() | QUERY)
    return (
        f"{scheme}://{draw(ENCODED)}{'' if password is None else ':' + password}@{draw(HOSTS)}"
        f"{'' if port is None else f':{port}'}{draw(st.sampled_from(['', '/', '/shop', '/My%20shop']))}"
        f"{'' if query is None else f'?{query}'}"
    )


@given(uris())
def test_a_string_taken_apart_and_put_together_is_the_same(text: str) -> None:
    """Given any string, then not one byte of it changes on the way through."""
    assert parse_uri(text).value == text


@given(uris(), HOSTS, st.integers(1, 65535), st.text(min_size=1, max_size=12))
def test_only_host_port_and_password_change(text: str, host: str, port: int, password: str) -> None:
    """Given another host, port and password, then these are in the new string and all the rest is byte for byte."""
    before = parse_uri(text)
    after = parse_uri(before.moved(host=host.strip("[]"), port=port, password=password, endpoint_id=None).value)
    assert (after.host, after.port, after.password) == (host.strip("[]"), port, password)
    for part in ("scheme", "raw_user", "raw_path", "raw_query"):
        assert getattr(after, part) == getattr(before, part)


@given(uris())
def test_the_same_password_keeps_its_spelling(text: str) -> None:
    """Given the password that the string has, then its percent-encoding is left alone, however unusual."""
    uri = parse_uri(text)
    assert uri.moved(host=uri.host, port=uri.port, password=uri.password, endpoint_id=None).raw_password == (
        uri.raw_password
    )


@given(uris(), st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=20))
def test_there_and_back_again_is_the_same(text: str, password: str) -> None:
    """Given a string that is moved and moved back, then it leads to the same place with the same parameters."""
    uri = parse_uri(text)
    assume(uri.password is not None)
    there = uri.moved(host="new.example", port=6543, password=password, endpoint_id=None)
    back = there.moved(host=uri.host, port=uri.port, password=uri.password, endpoint_id=None)
    assert (back.host, back.port, back.password) == (uri.host, uri.port, uri.password)
    assert (back.raw_user, back.raw_path, back.raw_query) == (uri.raw_user, uri.raw_path, uri.raw_query)


@given(uris())
def test_a_template_holds_everything_but_the_password(text: str) -> None:
    """Given any string, then its template has no password and leads to the same place."""
    uri = parse_uri(text)
    template = parse_uri(uri.template)
    assert template.password is None
    assert (template.host, template.port, template.user, template.raw_query) == (
        uri.host,
        uri.port,
        uri.user,
        uri.raw_query,
    )


SECRET = "s3cr3tPassw0rdThatNobodyMaySee"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (f"host=h password={SECRET} dbname=d", "not a URI"),
        (f"jdbc:postgresql://h.neon.tech/d?user=u&password={SECRET}", "it is a JDBC URL"),
        (f"JDBC:postgresql://u:{SECRET}@h:5432/d", "it is a JDBC URL"),
        (f"mysql://u:{SECRET}@h/d", "mysql"),
        (f"jdbc:postgresql://u:{SECRET}@h/d", "it is a JDBC URL"),
        (f"postgresql://u:{SECRET}@h1,h2/d", "several hosts"),
        (f"postgresql://u:{SECRET}@h1:5432,h2:5432/d", "several hosts"),
        (f"postgresql://u:{SECRET}@/d", "no host"),
        (f"postgresql://u:{SECRET}@/d?host=%2Ftmp", "as a parameter"),
        (f"postgresql://u:{SECRET}@h/d?password={SECRET}", "as a parameter"),
        (f"postgresql://u:{SECRET}@x@h/d", "more than one @"),
        (f"postgresql://u:{SECRET}/x@h/d", ""),
        (f"postgresql://u:{SECRET}@h:port/d", "port"),
        (f"postgresql://u:{SECRET}@h:99999/d", "port"),
        (f"postgresql://:{SECRET}@h/d", "no user"),
        (f"'postgresql://u:{SECRET}@h/d'", "host cannot be told"),
    ],
)
def test_an_unusable_string_is_refused_without_being_shown(text: str, reason: str) -> None:
    """Given a string that cannot be used, then the message says why, calls it by its name, and shows no part of it."""
    with pytest.raises(RewindError) as caught:
        parse_uri(text, "DATABASE_URL of application x")
    shown = json.dumps(caught.value.as_result())
    assert reason in shown and "DATABASE_URL of application x" in shown
    assert SECRET not in shown and SECRET not in repr(caught.value)


def test_a_string_is_never_shown_by_accident() -> None:
    """Given a parsed or resolved string in a message or a log, then its representation has no password."""
    uri = parse_uri(TOLD)
    assert PASSWORD not in repr(uri) + str(uri)
    assert PASSWORD not in repr(ConnectionString(uri, "br-x", None, "h"))


def test_the_compute_named_in_options_or_password_moves_too() -> None:
    """Given a client without SNI, which names the compute in options or before the password, then it moves too."""
    uri = parse_uri(f"postgresql://u:pw@{OLD_HOST}/d?options=endpoint%3Dep-old-snow-e5f6a7b8%20-c%20x&sslmode=require")
    moved = uri.moved(host=HOST, port=None, password=None, endpoint_id="ep-cool-frost-a1b2c3d4")
    assert moved.raw_query == "options=endpoint%3Dep-cool-frost-a1b2c3d4%20-c%20x&sslmode=require"
    prefixed = parse_uri(f"postgresql://u:endpoint%3Dep-old-snow-e5f6a7b8%3Bpw%21@{OLD_HOST}/d")
    assert prefixed.password == "pw!"
    moved = prefixed.moved(host=HOST, port=None, password="new;pw", endpoint_id="ep-cool-frost-a1b2c3d4")
    assert unquote(moved.raw_password or "") == "endpoint=ep-cool-frost-a1b2c3d4;new;pw"


def test_parameters_of_other_drivers_stay_and_are_left_out_for_psycopg() -> None:
    """Given Prisma's parameters, then the application keeps them and PostgreSQL's library does not see them."""
    uri = parse_uri(f"postgres://u:pw@{HOST}/d?pgbouncer=true&schema=public&sslmode=require&connect_timeout=15")
    assert "pgbouncer=true" in uri.value
    assert uri.for_libpq() == f"postgresql://u:pw@{HOST}/d?sslmode=require&connect_timeout=15"
    assert parse_uri(f"postgresql+asyncpg://u:pw@{HOST}/d?ssl=require").for_libpq() == f"postgresql://u:pw@{HOST}/d"


def neon_task(check_mode: bool = False) -> FakeTask:
    return task_of(NEON, {"neon_api_key": NEON_KEY}, check_mode=check_mode)


def resolved(
    connection: Json, row: str | None = None, task: FakeTask | None = None
) -> tuple[ConnectionString, FakeTask]:
    task = task or neon_task()
    option = {"project_id": "late-frost-12345678", "branch_id": "br-calm-sea-a1b2c3d4", **connection}
    getter = None if row is None else lambda _application, _key, _preview: row
    return resolve(option, client_for(task), getter, task=task), task


def expect_endpoint(script: Script, endpoints: list[Json] | None = None) -> None:
    listed = {"endpoints": [ENDPOINT] if endpoints is None else endpoints}
    script.expect("GET", f"{P}/branches/br-calm-sea-a1b2c3d4/endpoints", listed)


def test_without_a_base_the_string_is_neons(script: Script) -> None:
    """Given a branch with one role and one database, then the string that Neon gives, and its secrets registered."""
    script.expect("GET", f"{P}/branches/br-calm-sea-a1b2c3d4/roles", {"roles": [{"name": "owner"}]})
    script.expect("GET", f"{P}/branches/br-calm-sea-a1b2c3d4/databases", {"databases": [{"name": "shop"}]})
    expect_endpoint(script)
    script.expect("GET", f"{P}/connection_uri", {"uri": TOLD}, query={"role_name": "owner", "pooled": "false"})
    found, task = resolved({})
    assert found.value == TOLD
    assert found.public()["host"] == HOST and found.public()["hash"]
    assert PASSWORD not in json.dumps(found.public())
    assert PASSWORD not in task.masker.text(f"oh no {PASSWORD}")


def test_two_roles_must_be_chosen_from(script: Script) -> None:
    """Given several roles and none named, then the message lists them."""
    script.expect("GET", f"{P}/branches/br-calm-sea-a1b2c3d4/roles", {"roles": [{"name": "b"}, {"name": "a"}]})
    with pytest.raises(RewindError, match="found: a, b"):
        resolved({})


@pytest.mark.parametrize("pooled", [False, True])
def test_an_applications_string_keeps_all_but_the_host(script: Script, pooled: bool) -> None:
    """Given a row that points to the old primary, then host and password change, pooledness and the rest stay."""
    tail = "-pooler" if pooled else ""
    old_host, host = OLD_HOST.replace("b8.", f"b8{tail}."), HOST.replace("d4.", f"d4{tail}.")
    row = f"postgres://owner:{OLD_PASSWORD}@{old_host}/shop?pgbouncer=true&x=%2F&&y"
    expect_endpoint(script)
    told = TOLD.replace(HOST, host)
    script.expect("GET", f"{P}/connection_uri", {"uri": told}, query={"pooled": str(pooled).lower()})
    found, task = resolved({"application": "a", "env_key": "DATABASE_URL"}, row)
    assert found.value == f"postgres://owner:{PASSWORD}@{host}/shop?pgbouncer=true&x=%2F&&y"
    assert OLD_PASSWORD not in task.masker.text(f"{row} {OLD_PASSWORD}")


def test_pooled_can_be_asked_for_and_the_answer_is_corrected(script: Script) -> None:
    """Given an API that ignores pooled, then the pooled host is made by Neon's own rule."""
    expect_endpoint(script)
    script.expect("GET", f"{P}/connection_uri", {"uri": TOLD}, query={"pooled": "true"})
    found, _task = resolved({"pooled": True, "role": "owner", "database": "shop"})
    assert found.public()["host"] == HOST.replace("d4.", "d4-pooler.") and found.public()["pooled"] is True


def test_a_template_gets_its_password_from_neon_or_the_environment(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a template from a journal, then the password is read from Neon, or from the named variable."""
    template = f"postgres://owner@{OLD_HOST}/shop?x=1"
    for _ in range(2):
        expect_endpoint(script)
        script.expect("GET", f"{P}/connection_uri", {"uri": TOLD})
    assert resolved({"template": template})[0].value == f"postgres://owner:{PASSWORD}@{HOST}/shop?x=1"
    monkeypatch.setenv("OLD_PASSWORD", "p@ss/word:1")
    found, task = resolved({"template": template, "password_env": "OLD_PASSWORD"})
    assert found.value == f"postgres://owner:{quote('p@ss/word:1', safe='')}@{HOST}/shop?x=1"
    assert "p@ss/word:1" not in task.masker.text("p@ss/word:1 p%40ss%2Fword%3A1")


@pytest.mark.parametrize(
    ("host", "revealed", "used"),
    [(HOST, PASSWORD, OLD_PASSWORD), (OLD_HOST, PASSWORD, PASSWORD), (OLD_HOST, None, OLD_PASSWORD)],
    ids=["its own compute", "another compute", "another compute, and Neon reveals nothing"],
)
def test_a_whole_string_from_the_environment_gives_its_password_where_it_leads(
    script: Script, monkeypatch: pytest.MonkeyPatch, host: str, revealed: str | None, used: str
) -> None:
    """Given the application's string in a variable, then its password is used there, elsewhere Neon's goes first."""
    monkeypatch.setenv("OLD_STRING", f"postgres://owner:{OLD_PASSWORD}@{host}/shop?x=1")
    expect_endpoint(script)
    if revealed:
        script.expect("GET", f"{P}/connection_uri", {"uri": TOLD})
    else:
        script.expect("GET", f"{P}/connection_uri", {"message": "passwords are not stored"}, status=412)
    given = {"template": f"postgres://owner@{host}/shop?x=1", "password_env": "OLD_STRING"}
    found, task = resolved(given)
    assert found.value == f"postgres://owner:{used}@{HOST}/shop?x=1"
    assert OLD_PASSWORD not in task.masker.text(f"x {OLD_PASSWORD} y")


def test_a_string_of_another_application_in_the_environment_is_refused(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a string of another role, then nothing is made of it, and it is not shown."""
    monkeypatch.setenv("OLD_STRING", f"postgres://stranger:{SECRET}@{HOST}/shop")
    expect_endpoint(script)
    script.expect("GET", f"{P}/connection_uri", {"uri": TOLD})
    with pytest.raises(RewindError, match="for role stranger") as caught:
        resolved({"template": f"postgres://owner@{OLD_HOST}/shop", "password_env": "OLD_STRING"})
    assert SECRET not in str(caught.value)


def test_a_template_with_a_password_is_refused(script: Script) -> None:
    """Given a template that holds a password, then it is refused and not shown."""
    with pytest.raises(RewindError) as caught:
        resolved({"template": f"postgres://owner:{SECRET}@{OLD_HOST}/shop"})
    assert SECRET not in str(caught.value) and "password_env" in str(caught.value)


def test_without_stored_passwords_the_rows_own_is_kept(script: Script) -> None:
    """Given a project that reveals no password (412), then the base string's password goes to the compute's host."""
    expect_endpoint(script)
    script.expect("GET", f"{P}/connection_uri", {"message": "passwords are not stored"}, status=412)
    row = f"postgres://owner:{OLD_PASSWORD}@{OLD_HOST}/shop"
    found, _task = resolved({"application": "a", "env_key": "K"}, row)
    assert found.value == f"postgres://owner:{OLD_PASSWORD}@{HOST}/shop"


def test_a_password_that_nobody_knows_is_an_error(script: Script) -> None:
    """Given a template and a project that reveals no password, then the message names password_env."""
    expect_endpoint(script)
    script.expect("GET", f"{P}/connection_uri", {"message": "passwords are not stored"}, status=412)
    with pytest.raises(RewindError, match="password_env"):
        resolved({"template": f"postgres://owner@{OLD_HOST}/shop"})


def test_a_branch_without_a_compute_is_named(script: Script) -> None:
    """Given a backup without compute, then the message says what to add."""
    expect_endpoint(script, [])
    with pytest.raises(NotFound, match="neon_endpoint"):
        resolved({"role": "owner", "database": "shop"})


@pytest.mark.parametrize(
    ("point", "option"),
    [
        ({"at": "2025-01-13 15:25:00.250 +01:00"}, "neon_timestamp%3A2025-01-13T14%3A25%3A00.250000Z"),
        ({"lsn": "0/1a2b3c"}, "neon_lsn%3A0%2F1A2B3C"),
    ],
)
def test_the_past_is_read_under_the_branchs_own_name(script: Script, point: Json, option: str) -> None:
    """Given a point in time, then the host is the branch's id, direct, and the point stands in options."""
    script.expect("GET", f"{P}/endpoints", {"endpoints": [{**ENDPOINT, "type": "read_only"}, ENDPOINT]})
    script.expect("GET", f"{P}/connection_uri", {"uri": TOLD})
    row = f"postgres://owner:{OLD_PASSWORD}@{OLD_HOST}/shop?options=endpoint%3Dep-old-snow-e5f6a7b8&x=1"
    found, _task = resolved({"application": "a", "env_key": "K", **point}, row)
    host = HOST.replace("ep-cool-frost-a1b2c3d4", "br-calm-sea-a1b2c3d4")
    assert found.value == f"postgres://owner:{PASSWORD}@{host}/shop?x=1&options={option}"
    assert found.endpoint_id is None


def test_the_past_of_a_branch_without_compute_uses_its_own_password(script: Script) -> None:
    """Given a branch without compute, then another compute tells the domain, and the role's password there is read."""
    other = {**ENDPOINT, "id": "ep-x", "branch_id": "br-other"}
    script.expect("GET", f"{P}/endpoints", {"endpoints": [other]})
    script.expect("GET", f"{P}/connection_uri", {"uri": TOLD}, query={"branch_id": "br-other"})
    script.expect(
        "GET", f"{P}/branches/br-calm-sea-a1b2c3d4/roles/owner/reveal_password", {"password": "npg_OfThisBranch12"}
    )
    found, _task = resolved({"role": "owner", "database": "shop", "lsn": "0/1"})
    assert ":npg_OfThisBranch12@br-calm-sea-a1b2c3d4." in found.value


@pytest.mark.parametrize("part", ["branch_id", "endpoint_id"])
def test_a_predicted_branch_has_a_shape_and_no_string(script: Script, part: str) -> None:
    """Given a predicted id, then nothing is sent, the parts are null, and using the string is an error."""
    found, _task = resolved({part: "predicted:branch/x"}, task=neon_task(check_mode=True))
    assert found.predicted and found.public()["host"] is None and found.skipped_reason
    with pytest.raises(RewindError):
        assert found.value


def test_a_string_is_matched_to_its_compute(script: Script) -> None:
    """Given computes, then a string finds its own by host, direct or pooled, and by port where hosts are shared."""
    client = client_for(neon_task())
    others = [{**ENDPOINT, "id": "ep-z", "host": OLD_HOST}, ENDPOINT]
    pooled = parse_uri(TOLD.replace("d4.", "d4-pooler."))
    assert (endpoint_of(pooled, others, client, "x") or {})["id"] == ENDPOINT["id"]
    assert endpoint_of(parse_uri("postgresql://u:p@elsewhere/d"), others, client, "x") is None
    shared = [{**ENDPOINT, "id": "ep-1", "host": "127.0.0.1"}, {**ENDPOINT, "id": "ep-2", "host": "127.0.0.1"}]
    for port in (5001, 5002):
        script.expect("GET", "/projects/x/connection_uri", {"uri": f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/d"})
    found = endpoint_of(parse_uri("postgresql://u:p@127.0.0.1:5002/d"), shared, client, "x")
    assert (found or {})["id"] == "ep-2"


def test_a_row_is_described_without_its_password(script: Script) -> None:
    """Given a row's value, then its parts and a template, and nowhere a secret."""
    uri = parse_uri(f"{TOLD}&sslpassword={SECRET}")
    shown = describe(uri, neon_task())
    assert shown["host"] == HOST and shown["template"].startswith(f"postgresql://owner@{HOST}/shop?")
    assert PASSWORD not in json.dumps(shown) and SECRET not in json.dumps(shown)


def serve(server: StubServer) -> StubServer:
    server.answer("GET", f"/api/v2{P}/branches/br-calm-sea-a1b2c3d4/endpoints", {"endpoints": [ENDPOINT]})
    return server.answer("GET", f"/api/v2{P}/connection_uri", {"uri": TOLD})


CONNECTION = {
    "project_id": "late-frost-12345678",
    "branch_id": "br-calm-sea-a1b2c3d4",
    "role": "owner",
    "database": "shop",
}


def test_neon_connection_info_says_the_same_both_ways(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given a connection, then parts and hash are equal both ways, and the key file is private."""
    variables = {
        "rewind_neon_api_key": NEON_KEY,
        "rewind_neon_api_url": f"{serve(stub_server).url}/api/v2",
        "rewind_state_dir": str(both_ways.folder / "state"),
    }
    result = both_ways.same("neon_connection_info", {"connection": CONNECTION}, variables=variables)
    assert result["connection"]["host"] == HOST and "connection_string" not in result


def test_a_revealed_string_is_in_the_variable_and_in_no_output(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given reveal, both ways: the registered string is whole, and the output at -vvvv does not hold it."""
    written = both_ways.folder / "written-{{ item }}"
    module = {"connection": CONNECTION, "reveal": True}
    ordinary = {"environment": {"REWIND_ORDINARY_WAY": "true"}}
    tasks: list[Json] = []
    for way, keywords in (("here", {}), ("ordinary", ordinary)):
        tasks.append({"name": way, "rewind.database.neon_connection_info": module, "register": way, **keywords})
        copy = {"content": f"{{{{ {way}.connection_string }}}}", "dest": str(written).replace("{{ item }}", way)}
        tasks.append({"name": f"write {way}", "ansible.builtin.copy": copy, "no_log": True, "diff": False})
    played = both_ways.play(
        tasks,
        variables={"rewind_neon_api_key": NEON_KEY, "rewind_neon_api_url": f"{serve(stub_server).url}/api/v2"},
        arguments=("-vvvv", "--diff"),
    )
    assert played.code == 0, played.output
    for way in ("here", "ordinary"):
        assert (both_ways.folder / f"written-{way}").read_text() == TOLD
    assert PASSWORD not in played.output


def test_reveal_is_refused_where_the_string_would_be_stored(both_ways: BothWays, stub_server: StubServer) -> None:
    """Given async, whose results Ansible keeps in a file and shows later, then reveal is refused."""
    played = both_ways.play(
        [
            {
                "name": "reveal",
                "rewind.database.neon_connection_info": {"connection": CONNECTION, "reveal": True},
                "async": 30,
                "poll": 1,
            }
        ],
        variables={"rewind_neon_api_key": NEON_KEY, "rewind_neon_api_url": f"{serve(stub_server).url}/api/v2"},
    )
    assert played.code != 0 and "reveal" in played.results["reveal"]["msg"]
    assert stub_server.requests == []


def test_neon_connection_info_in_check_mode_with_a_predicted_branch() -> None:
    """Given a branch that does not exist yet, then the usual shape with nulls, and no request."""
    connection = {**CONNECTION, "branch_id": "predicted:branch/restore-1"}
    result = call_module("neon_connection_info", {"connection": connection, "neon_api_key": NEON_KEY}, check_mode=True)
    assert result["connection"]["branch_id"] == "predicted:branch/restore-1" and result["connection"]["host"] is None


def test_uri_equality_is_by_parts() -> None:
    """Given two spellings of one host, then they compare as the same place."""
    assert parse_uri("postgresql://u:p@HOST.example/d").host == parse_uri("postgresql://u:p@host.example:5432/d").host
    assert isinstance(parse_uri("postgresql://u@[::1]:1/d"), ConnectionUri)
    assert parse_uri("postgresql://u@[::1]:1/d").host == "::1"
