# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading both services once, and what every application turns out to be. Nothing but GET is sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from .._coolify.client import CoolifyClient
from .._neon.client import NeonClient
from .._task import Task
from .judging import judge, texts
from .neon_hosts import NeonHosts, read_projects
from .places import read_coolify

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is looked for.

    :param projects: ids of Neon projects; empty for all that the key may see.
    :param organizations: ids of Neon organizations; empty for those of the key.
    :param env_keys: the variables that may hold the connection string, the likeliest first.
    :param list_others: list what is on other databases too.
    """

    projects: Sequence[str] = ()
    organizations: Sequence[str] = ()
    env_keys: Sequence[str] = ("DATABASE_URL",)
    list_others: bool = False


def find_targets(coolify: CoolifyClient, neon: NeonClient, wanted: Wanted, task: Task) -> list[Json]:
    """A record of each application and service, without any secret, ordered by name; ``listed`` where it has to do with
    Neon.

    Requests: one per application, service and shared scope, project and server of Coolify; a page of Neon's projects,
    one per project until all hosts are found, and one more per project that has one of them.

    :raises RewindError: where a token is refused or a service cannot be reached.
    """
    # Neon first: a wrong key is found out after one request instead of hundreds.
    hosts = NeonHosts(read_projects(neon, wanted.projects, wanted.organizations))
    deployed, shared = read_coolify(coolify, task)
    named = {
        host
        for item in deployed
        for _row, text in texts(item, shared.seen_by(item.place))
        for host in hosts.named_in(text)
    }
    task.progress(f"looking for {len(named)} hosts in {len(hosts.projects)} projects of Neon")
    hosts.resolve(neon, named, task.warn)
    records = [
        judge(item, shared.seen_by(item.place), hosts, wanted.env_keys, list_others=wanted.list_others)
        for item in deployed
    ]
    return sorted(records, key=lambda record: (record["name"], record["uuid"]))
