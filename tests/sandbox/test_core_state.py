# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Store, lock, state folder, ports and clock: what the daemon stands on."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.clock import Clock, rfc3339
from sandbox.lock import AlreadyRunning, Lock, holder
from sandbox.ports import PORT_RANGE, PortTaken, pick_port, port_is_free, require_free
from sandbox.root import MARK, NotOurs, empty_root, forget_connection, make_root, write_private
from sandbox.settings import Settings
from sandbox.store import Store, StoreDamaged
from sandbox.world import World


def test_given_saved_data_when_opened_again_then_it_is_there_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.json")
    store.section("neon")["projects"] = {"p": [1, 2]}
    store.save()
    store.section("neon")["lost"] = True
    assert Store(tmp_path / "store.json").data == {"neon": {"projects": {"p": [1, 2]}}}
    assert stat.S_IMODE((tmp_path / "store.json").stat().st_mode) == 0o600


def test_given_a_crash_while_writing_when_opened_again_then_the_last_whole_state_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.json")
    store.section("a")["b"] = 1
    store.save()
    (tmp_path / "store.json.new").write_text('{"a": {"b', encoding="utf-8")
    again = Store(tmp_path / "store.json")
    again.section("a")["b"] = 2
    again.save()
    assert Store(tmp_path / "store.json").data == {"a": {"b": 2}}


def test_given_a_cleared_store_when_opened_again_then_only_what_was_kept_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.json")
    store.data.update({"ports": {"neon": 1}, "neon": {"x": 1}})
    store.clear(keep=("ports", "tokens"))
    assert Store(tmp_path / "store.json").data == {"ports": {"neon": 1}}


def test_given_a_running_holder_when_locked_again_then_it_is_refused_with_its_pid_until_it_is_killed(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from sandbox.lock import Lock; "
        "Lock(Path(sys.argv[1])).take(); print('taken', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"taken\n"
        assert holder(tmp_path) == child.pid
        with pytest.raises(AlreadyRunning, match=f"pid {child.pid}"):
            Lock(tmp_path).take()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert holder(tmp_path) is None


def test_given_a_folder_with_other_files_when_used_as_root_then_it_is_refused_and_nothing_is_deleted(
    tmp_path: Path,
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(NotOurs, match="holds other files"):
        make_root(tmp_path)
    with pytest.raises(NotOurs, match="nothing was deleted"):
        empty_root(tmp_path, Store(tmp_path / "store.json"))
    assert (tmp_path / "thesis.tex").exists()


def test_given_a_root_when_emptied_then_data_goes_and_settings_and_tools_stay(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_root(root)
    make_root(root)
    for name in ("settings.json", "daemon.log"):
        (root / name).write_text("{}", encoding="utf-8")
    (root / "tl" / "abc").mkdir(parents=True)
    (root / "state").mkdir()
    store = Store(root / "store.json")
    store.data.update({"ports": {"neon": 1}, "tokens": {"neon": "t"}, "neon": {"projects": {}}})
    store.data["engine"] = {"cloud_admin_password": "p", "timelines": {"t": {}}}
    empty_root(root, store)
    assert sorted(path.name for path in root.iterdir()) == sorted([MARK, "settings.json", "daemon.log", "store.json"])
    assert Store(root / "store.json").data == {
        "ports": {"neon": 1},
        "tokens": {"neon": "t"},
        "engine": {"cloud_admin_password": "p"},
    }


def test_given_a_private_file_when_replaced_then_it_is_whole_and_0600(tmp_path: Path) -> None:
    path = tmp_path / "new" / "connection.json"
    for content in ("first", "second"):
        write_private(path, content)
    assert path.read_text(encoding="utf-8") == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_given_a_taken_port_when_required_free_then_the_error_names_port_owner_and_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert not port_is_free(port)
        with pytest.raises(PortTaken) as caught:
            require_free({"neon": port})
    text = str(caught.value)
    assert f"port {port} (neon) is used by" in text
    assert "bin/sandbox up --new-ports" in text
    if Path("/proc/net/tcp").exists():
        assert f"process {os.getpid()}" in text


def test_given_a_port_on_which_connections_linger_when_checked_then_it_counts_as_free() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", pick_port()))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    assert port_is_free(port)


def test_given_picked_ports_then_they_lie_where_no_outgoing_connection_takes_them() -> None:
    first = pick_port()
    assert PORT_RANGE[0] <= first < PORT_RANGE[1]
    assert pick_port(taken={first}) != first


def test_given_a_kept_port_that_nobody_has_opened_yet_when_another_is_picked_then_it_is_not_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = pick_port()
    monkeypatch.setenv("REWIND_SANDBOX_PORTS", f"{port}-{port + 1}")
    world = World(Settings(root=tmp_path))
    world.store.section("ports")["neon"] = port
    with pytest.raises(PortTaken):
        world.spare_port([port + 1])


def test_given_a_world_when_started_again_then_ports_and_clock_are_kept_and_ids_go_on(tmp_path: Path) -> None:
    world = World(Settings(root=tmp_path, seed=7))
    port = world.port("neon")
    first = [world.random("ids").random() for _ in range(3)]
    world.clock.advance(3600)
    again = World(Settings(root=tmp_path, seed=7))
    assert again.port("neon") == port
    assert again.clock.offset == 3600
    again.store.save()
    assert [again.random("ids").random() for _ in range(3)] != first
    (tmp_path / "other").mkdir()
    twin = World(Settings(root=tmp_path / "other", seed=7))
    assert [twin.random("ids").random() for _ in range(3)] == first
    assert [twin.random("passwords").random() for _ in range(3)] != first


async def test_given_a_waiter_when_the_clock_is_moved_past_its_instant_then_it_goes_on_at_once() -> None:
    moves: list[float] = []
    clock = Clock(on_change=moves.append)
    began = time.monotonic()
    waiter = asyncio.ensure_future(clock.wait_until(clock.now() + timedelta(days=8)))
    await asyncio.sleep(0)
    clock.advance(86400)
    await asyncio.sleep(0)
    assert not waiter.done()
    clock.advance(7 * 86400 + 1)
    await asyncio.wait_for(waiter, timeout=5)
    assert time.monotonic() - began < 5
    assert moves == [86400, 8 * 86400 + 1]


def test_given_an_offset_then_now_is_ahead_and_real_undoes_it() -> None:
    clock = Clock(offset_seconds=-120)
    assert timedelta(seconds=119) < datetime.now(UTC) - clock.now() < timedelta(seconds=121)
    instant = datetime(2025, 1, 13, 14, 25, tzinfo=UTC)
    assert clock.real(instant) == instant + timedelta(seconds=120)


def test_given_instants_when_written_then_they_are_rfc_3339_in_utc() -> None:
    assert rfc3339(datetime(2025, 1, 13, 15, 25, tzinfo=UTC)) == "2025-01-13T15:25:00Z"
    assert rfc3339(datetime(2025, 1, 13, 15, 25, 0, 1200, tzinfo=UTC)) == "2025-01-13T15:25:00.001200Z"


def test_given_a_store_that_is_not_an_object_when_opened_then_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(StoreDamaged, match=r"store\.json is damaged \(it does not hold a JSON object\).*sandbox reset"):
        Store(tmp_path / "store.json")


@pytest.mark.parametrize("seconds", [1e12, -1e12, 3e11, float("nan"), float("inf"), -float("inf")])
def test_given_a_clock_when_moved_out_of_the_calendar_then_it_refuses_and_shows_what_it_showed(seconds: float) -> None:
    kept: list[float] = []
    clock = Clock(on_change=kept.append)
    for move in (clock.advance, clock.set_offset):
        with pytest.raises(ValueError, match="the clock goes from the year"):
            move(seconds)
    assert (clock.offset, kept) == (0.0, [])
    assert clock.now() - datetime.now(UTC) < timedelta(seconds=1)


def test_given_files_of_a_killed_daemon_when_forgotten_then_those_of_another_root_stay(tmp_path: Path) -> None:
    mine, others = tmp_path / "daemon.json", tmp_path / "connection.json"
    mine.write_text(json.dumps({"root": str(tmp_path), "pid": 1}), encoding="utf-8")
    others.write_text(json.dumps({"root": "/somewhere/else", "pid": 2}), encoding="utf-8")
    forget_connection(tmp_path, others)
    assert not mine.exists()
    assert others.exists()
