# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an application is to Rewind: a target, something that cannot be recovered and why, or nothing at all. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .._coolify.rows import Row
from .._coolify.values import shared_references, with_shared
from .._errors import InvalidInput
from .._uri import ConnectionUri, parse_uri
from .neon_hosts import Compute, NeonHosts
from .places import Deployed, health_of

Json = dict[str, Any]

_SERVICE = (
    "It is a service of Coolify. Rewind changes env rows of applications only: Coolify gives the restart of a service "
    "no deployment that could be followed and proven."
)
_OTHER = "None of its variables leads to Neon."


@dataclasses.dataclass(frozen=True)
class Clue:
    """A row of production that names a host of Neon, with what it says. The text is a secret."""

    row: Row
    text: str = dataclasses.field(repr=False)
    host: str
    compute: Compute | None

    @property
    def key(self) -> str:
        return self.row.key

    @property
    def leads_to(self) -> str:
        """The branch, or the host where that is not known."""
        return str(self.compute.branch["id"]) if self.compute else self.host


def production_rows(deployed: Deployed) -> list[Row]:
    """The rows of production: those of previews are other variables."""
    return [row for row in deployed.rows if not row.is_preview]


def texts(deployed: Deployed, shared: Mapping[str, str]) -> list[tuple[Row, str]]:
    """The readable rows of production with their values, shared variables put in. The values are secrets."""
    return [(row, with_shared(row.value, shared)) for row in production_rows(deployed) if row.value]


def judge(
    deployed: Deployed, shared: Mapping[str, str], hosts: NeonHosts, env_keys: Sequence[str], *, list_others: bool
) -> Json:
    """The record of an application or service, plain and without any secret; not ``listed`` where it has nothing to do
    with Neon: then it only keeps its name from others, as it would where its variables cannot be read for once.

    :param shared: the shared variables that it sees, by scope and name.
    :param env_keys: the variables that may hold the connection string, the likeliest first; any other comes after.
    :param list_others: give those on other databases a record too.
    """
    clues = _clues(deployed, shared, hosts, env_keys)
    unknown = _unknown(deployed, shared, env_keys)
    if not clues:
        if unknown:
            return _record(deployed, None, unknown)
        return {**_record(deployed, None, _OTHER), "listed": list_others}
    if deployed.owner.kind == "service":
        return _record(deployed, clues[0], _SERVICE)
    chosen, reason = _choose(clues, env_keys)
    missed = _missed(deployed, chosen, shared, env_keys)
    return _record(deployed, chosen, reason or missed or _unusable(deployed, chosen))


def _clues(deployed: Deployed, shared: Mapping[str, str], hosts: NeonHosts, env_keys: Sequence[str]) -> list[Clue]:
    order = {key: number for number, key in enumerate(env_keys)}
    found = [
        Clue(row, text, host, hosts.compute(host))
        for row, text in texts(deployed, shared)
        for host in hosts.named_in(text)[:1]
    ]
    # A whole connection string before a host that stands alone.
    return sorted(found, key=lambda clue: (order.get(clue.key, len(order)), "://" not in clue.text))


def _unknown(deployed: Deployed, shared: Mapping[str, str], env_keys: Sequence[str]) -> str:
    """Why it is not known whether a row leads to Neon; empty where it is known.

    What cannot be read counts as unknown, never as absent (rule 2), unless the usual variable says another database.
    """
    if deployed.failure:
        return f"Its variables cannot be read: {deployed.failure}"
    rows = production_rows(deployed)
    if any(row.key in env_keys and row.value and not _unresolved(row, shared) for row in rows):
        return ""
    hidden = sorted({row.key for row in rows if not row.readable})
    if hidden:
        locked = all(row.locked for row in rows if not row.readable)
        return _hidden_reason(hidden, locked)
    return _broken_reason(sorted({row.key for row in rows if _unresolved(row, shared)}))


def _broken_reason(keys: Sequence[str]) -> str:
    if not keys:
        return ""
    return (
        f"{_and(keys)} is taken from a shared variable that cannot be read. Write the connection string into the "
        "application's own variable."
    )


def _hidden_reason(keys: Sequence[str], locked: bool) -> str:
    if locked:
        return (
            f"{_and(keys)} is locked, so Coolify shows its value to nobody and it is not known where it leads. Create "
            "it again unlocked, or describe this target in an inventory of your own."
        )
    return (
        f"The value of {_and(keys)} is hidden from this token. Use a token with the ability read:sensitive, of an "
        "admin or owner of the team."
    )


def _unresolved(row: Row, shared: Mapping[str, str]) -> list[str]:
    return [reference for reference in shared_references(row.value) if reference not in shared]


def _choose(clues: Sequence[Clue], env_keys: Sequence[str]) -> tuple[Clue, str]:
    """The row that says which branch is the primary, and why that is not clear where it is not."""
    chosen = clues[0]
    if chosen.key in env_keys or len({clue.leads_to for clue in clues}) == 1:
        return chosen, ""
    keys = _and([clue.key for clue in clues])
    return chosen, f"{keys} lead to different branches of Neon. Name the one that counts in the option env_keys."


def _missed(deployed: Deployed, chosen: Clue, shared: Mapping[str, str], env_keys: Sequence[str]) -> str:
    """A usual variable that comes before the chosen one and whose value nobody sees."""
    before = env_keys[: env_keys.index(chosen.key)] if chosen.key in env_keys else env_keys
    usual = [row for row in production_rows(deployed) if row.key in before]
    hidden = [row for row in usual if not row.readable]
    if hidden:
        return _hidden_reason(sorted({row.key for row in hidden}), all(row.locked for row in hidden))
    return _broken_reason(sorted({row.key for row in usual if _unresolved(row, shared)}))


def _unusable(deployed: Deployed, clue: Clue) -> str:
    """Why a run on this row would be refused; empty where it would not."""
    same = [row.uuid for row in production_rows(deployed) if row.key == clue.key]
    if len(same) > 1:
        return f"It has {len(same)} rows named {clue.key} (uuids {', '.join(same)}). Delete all but one in Coolify."
    references = shared_references(clue.row.value)
    if references:
        return (
            f"{clue.key} takes its value from the shared variable {_and(references)}, whose change would move other "
            "applications too. Write the connection string into the application's own variable."
        )
    if "://" not in clue.text:
        return f"{clue.key} names a host of Neon and is no connection string. Write one into a variable of its own."
    uri, problem = parsed(clue)
    if uri is None:
        return problem
    if clue.compute is None:
        return (
            f"{clue.key} leads to {clue.host}, which belongs to no project that this key of Neon may see: the compute "
            "was deleted, or it is in another organization or project."
        )
    if clue.compute.endpoint.get("type") == "read_only":
        return f"{clue.key} leads to a read replica. Name the variable of the primary in the option env_keys."
    return ""


def parsed(clue: Clue) -> tuple[ConnectionUri | None, str]:
    """The connection string in its parts, or what is wrong with it (without any part of it)."""
    try:
        return parse_uri(clue.text, clue.key), ""
    except InvalidInput as error:
        return None, f"{error.text[0].upper()}{error.text[1:]}."


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _record(deployed: Deployed, clue: Clue | None, reason: str) -> Json:
    place = deployed.place
    record: Json = {
        "kind": deployed.owner.kind,
        "uuid": deployed.owner.uuid,
        "name": deployed.owner.name,
        "status": deployed.body.get("status"),
        "health": health_of(deployed.body),
        "supported": not reason,
        "reason": reason or None,
        "unsure": deployed.unsure,
        "listed": True,
        "env_key": clue.key if clue else None,
        "neon": _neon(clue) if clue else None,
    }
    for kind, owner in place.scopes().items():
        record[kind] = {"uuid": owner.uuid, "name": owner.name} if owner else None
    return record


def _neon(clue: Clue) -> Json:
    uri = parsed(clue)[0] if "://" in clue.text else None
    compute = clue.compute
    found: Json = {
        "host": clue.host,
        "role": uri.user if uri else None,
        "database": uri.database if uri else None,
        "pooled": uri.pooled if uri else None,
    }
    if compute is not None:
        found |= {
            "project_id": compute.project.get("id"),
            "project_name": compute.project.get("name"),
            "branch_id": compute.branch.get("id"),
            "branch_name": compute.branch.get("name"),
            "protected": compute.branch.get("protected"),
            "endpoint_id": compute.endpoint.get("id"),
        }
    return found
