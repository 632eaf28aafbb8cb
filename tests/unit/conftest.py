# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible_collections.rewind.database.plugins.module_utils import _http, _pace, _waiter
from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, StubServer
from ansible_collections.rewind.database.tests.unit.tools import ENVIRONMENT, FakeClock, Script

if TYPE_CHECKING:
    from ansible_collections.rewind.database.tests.unit.postgres_cluster import Cluster


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No token or address of the person who runs the tests may reach them, and no test that person's state."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture(autouse=True)
def _own_pace(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the tests' clocks say must slow down nobody else."""
    monkeypatch.setattr(_pace, "FOLDER", tmp_path_factory.mktemp("pace") / "shared")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """An ordered script of HTTP calls, in place of the network."""
    script = Script()
    monkeypatch.setattr(_http, "open_transport", lambda **_options: script.transport())
    yield script
    script.finish()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that moves only when somebody sleeps."""
    fake = FakeClock()
    monkeypatch.setattr(_waiter, "CLOCK", fake)
    return fake


@pytest.fixture
def stub_server() -> Iterator[StubServer]:
    """A real HTTP server on loopback that answers what it was told."""
    server = StubServer()
    yield server
    server.close()


@pytest.fixture
def both_ways(tmp_path: Path) -> BothWays:
    """Runs a task with ansible-playbook, in the controller's process and as an ordinary module."""
    return BothWays(tmp_path)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One PostgreSQL server for all tests of a run; each test makes databases of its own in it."""
    from ansible_collections.rewind.database.tests.unit.postgres_cluster import running_cluster

    with running_cluster() as running:
        yield running
