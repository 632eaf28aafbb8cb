# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From records to an inventory: names of hosts and groups, and host variables. Pure, and free of secrets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

TARGETS = "rewind_targets"
UNSUPPORTED = "rewind_unsupported"
GROUPINGS = ("project", "environment", "server", "branch", "health")

# Words that say of an environment that nobody's work is lost in it. Whatever is called otherwise is production: it
# then asks before anything is changed, and no drill touches it.
_STAGING = frozenset(
    {
        "staging",
        "stage",
        "stg",
        "dev",
        "develop",
        "development",
        "test",
        "testing",
        "tests",
        "qa",
        "uat",
        "preview",
        "review",
        "sandbox",
        "demo",
        "ci",
        "local",
    }
)
_PRODUCTION = frozenset({"production", "prod", "prd", "live"})
_UUID_SHOWN = 8
# A group of what has no letter or digit in its name.
_UNNAMED = "unnamed"


def environment_of(name: str | None, chosen: Mapping[str, str]) -> str:
    """``rewind_environment`` of a Coolify environment.

    :param chosen: what the user says, by the environment's name in any case.
    """
    said = {key.lower(): value for key, value in chosen.items()}.get((name or "").lower())
    if said:
        return said
    words = set(re.split(r"[^a-z]+", (name or "").lower()))
    return "staging" if words & _STAGING and not words & _PRODUCTION else "production"


def variables(record: Json, environments: Mapping[str, str], addresses: Mapping[str, str]) -> Json:
    """The host variables of a record: those of docs/targets.md, and what groups and conditions are made of.

    :param addresses: ``rewind_*`` variables of the services, the same for all hosts.
    """
    neon: Json = record["neon"] or {}
    found: Json = {
        **addresses,
        "rewind_supported": record["supported"],
        "rewind_unsupported_reason": record["reason"],
        "rewind_environment": environment_of((record["environment"] or {}).get("name"), environments),
        "rewind_coolify_env_key": record["env_key"],
        "rewind_neon_project_id": neon.get("project_id"),
        "rewind_neon_database": neon.get("database"),
        "rewind_neon_role": neon.get("role"),
        f"rewind_coolify_{record['kind']}": record["uuid"],
    }
    # A variable that is not known is left out: the playbooks say which one is missing.
    found = {name: value for name, value in found.items() if value is not None}
    return {**found, **_discovered(record, neon)}


def _discovered(record: Json, neon: Json) -> Json:
    places = {
        f"rewind_found_{kind}{suffix}": (record[kind] or {}).get(field)
        for kind in ("project", "environment", "server")
        for suffix, field in (("", "name"), ("_uuid", "uuid"))
    }
    return {
        "rewind_found_kind": record["kind"],
        "rewind_found_name": record["name"],
        "rewind_found_status": record["status"],
        "rewind_found_health": record["health"],
        **places,
        "rewind_found_neon_project": neon.get("project_name"),
        "rewind_found_branch": neon.get("branch_name"),
        "rewind_found_branch_id": neon.get("branch_id"),
        "rewind_found_branch_protected": neon.get("protected"),
        "rewind_found_endpoint_id": neon.get("endpoint_id"),
        "rewind_found_host": neon.get("host"),
        "rewind_found_pooled": neon.get("pooled"),
    }


def host_names(
    records: Sequence[Json], wanted: Callable[[Json], str], groups: Collection[str] = ()
) -> list[tuple[str, bool]]:
    """The name of each record's host, and whether it would not have been unique without a part of its uuid.

    All of several that would have one name get that part: a name must never move from one application to another,
    for locks, journals and confirmations go by it. Likewise where nothing of an application's own name is left, and
    where a group has the name: Ansible would take the host for the group.

    :param wanted: the name that a record should have; empty for the usual one, ``<name>_<environment>``.
    :param groups: the names of the groups.
    """
    asked = [wanted(record) for record in records]
    plain = [host_name(own or _usual(record)) for own, record in zip(asked, records, strict=True)]
    same: dict[str, list[str]] = {}
    for name, record in zip(plain, records, strict=True):
        same.setdefault(name.lower(), []).append(record["uuid"])
    found = []
    for name, own, record in zip(plain, asked, records, strict=True):
        uuids = same[name.lower()]
        shown = _UUID_SHOWN if len({uuid[:_UUID_SHOWN] for uuid in uuids}) == len(uuids) else None
        unclear = len(uuids) > 1 or name in groups or not _plain(own or record["name"])
        found.append((f"{name}_{record['uuid'][:shown]}" if unclear else name, unclear))
    return found


def _usual(record: Json) -> str:
    parts = [record["name"], (record["environment"] or {}).get("name")]
    return "_".join(part for part in parts if part)


def host_name(text: str) -> str:
    """A text as a host's name: also the name of folders, and no pattern of Ansible's."""
    return _plain(text) or "target"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.-")


def group_names(records: Sequence[Json], groupings: Iterable[str]) -> list[list[str]]:
    """The groups of each record's host, by its place, its branch and its health; things of one name are told apart.

    What is not supported is in no such group, so that a run on one of them does not meet it.
    """
    keys = [{kind: _key(record, kind) for kind in groupings} for record in records]
    shown: dict[str, dict[str, str]] = {}
    for kind in groupings:
        shown[kind] = _told_apart({key[kind] for key in keys if key[kind]})  # type: ignore[misc]
    found = []
    for record, key in zip(records, keys, strict=True):
        names = [f"{kind}_{shown[kind][item[0]]}" for kind, item in key.items() if item]
        found.append([TARGETS, *names] if record["supported"] else [UNSUPPORTED])
    return found


def _key(record: Json, kind: str) -> tuple[str, str] | None:
    """What makes a group of this kind, and what it is called; None where that is not known."""
    neon: Json = record["neon"] or {}
    if kind == "health":
        return record["health"], record["health"]
    if kind == "branch":
        if not neon.get("branch_id"):
            return None
        return neon["branch_id"], f"{neon.get('project_name')}_{neon.get('branch_name') or neon['branch_id']}"
    place = record[kind]
    if not place:
        return None
    # The environments of one name, however it is written, are one group over all projects; two projects or servers of
    # one name are two.
    alike = group_name(place["name"]) if kind == "environment" else _UNNAMED
    return (place["uuid"] if alike == _UNNAMED else alike), place["name"]


def _told_apart(things: Iterable[tuple[str, str]]) -> dict[str, str]:
    plain = {key: group_name(label) for key, label in things}
    often = Counter(plain.values())
    return {key: f"{label}_{group_name(key)}" if often[label] > 1 else label for key, label in plain.items()}


def group_name(text: str) -> str:
    """A text as part of a group's name."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower() or _UNNAMED
