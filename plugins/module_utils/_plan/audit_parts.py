# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit is made of: the world that was read, and a line that judges one thing in it.

A line names its states beforehand, each with its status and what to do, so that no line can end in a state that nobody
has thought about. What could not be read is the state ``unknown`` of every line that needs it: never OK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from .._time import rfc3339
from .cleanup_request import Wanted, read_wanted
from .primary import Primary, find_primary
from .request import Facts, Findings, Request, read_facts, read_request

OK, WARN, FAILED = "OK", "WARN", "FAILED"
STATUSES = (OK, WARN, FAILED)
UNKNOWN = "unknown"
DAY = 86_400.0
_LONGEST_REASON = 300

# Every fact, and the key of a result that holds it: a result without that key is of a task that failed.
FACTS: Mapping[str, str] = {
    "project": "project",
    "branches": "branches",
    "application": "application",
    "deployments": "deployments",
    "consumers": "consumers",
    "connection": "connection",
    "sessions": "count",
    "catalogue": "records",
    "backups": "records",
    "drills": "records",
    "journals": "unfinished",
    "snapshots": "snapshots",
}
_OF_CLEANUP = frozenset(
    {
        "retention_days",
        "keep_last",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "min_verified",
        "accept_unreadable",
    }
)


@dataclass(frozen=True)
class State:
    """How bad a state of a line is, and what to do about it. The text may name what the finding names, in braces."""

    status: str
    what_to_do: str = ""


@dataclass(frozen=True)
class Finding:
    """The state that a line is in, and the number or the fact behind it."""

    state: str
    found: str
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One line of the audit.

    :param needs: the facts without which its state is unknown (keys of `FACTS`, or "primary").
    :param states: every state that it can be in. ``unknown`` is one of them always.
    """

    id: str
    title: str
    needs: tuple[str, ...]
    expected: Callable[[World], str]
    judge: Callable[[World], Finding]
    states: Mapping[str, State]


@dataclass(frozen=True)
class Limits:
    """What the lines are judged by. Times in seconds, shares in percent, sizes in bytes."""

    history: float
    storage_bytes: float | None
    storage_warn: float
    storage_fail: float
    slots: Mapping[str, float]
    free_branches: int
    protected: bool
    auto_deploy: bool | None
    backup_age: float
    cleanup: Wanted
    other_targets: frozenset[str]
    drill_age: float
    drill_target: str
    time_tolerance: float
    deploy: float
    connections_warn: float
    connections_fail: float
    ignore_consumers: frozenset[str]


def read_limits(given: Mapping[str, Any], request: Request) -> Limits:
    """Read the limits from the option `request`; what is not given has the runbook's value."""

    def number(name: str, default: float) -> float:
        return float(default if given.get(name) in (None, "") else given[name])

    storage = given.get("storage_bytes")
    slots = {str(kind): float(limit) for kind, limit in (given.get("slots") or {}).items()}
    protected = given.get("protected")
    return Limits(
        history=number("history_days", 7) * DAY,
        storage_bytes=None if storage in (None, "") else float(str(storage)),
        storage_warn=number("storage_warn_percent", 80),
        storage_fail=number("storage_fail_percent", 95),
        slots=slots,
        free_branches=int(number("free_branches", 2)),
        protected=request.environment == "production" if protected is None else bool(protected),
        auto_deploy={"on": True, "off": False}.get(str(given.get("auto_deploy") or "any")),
        backup_age=number("backup_max_days", 7) * DAY,
        cleanup=_cleanup(given, request),
        other_targets=frozenset(str(item) for item in given.get("other_targets") or ()),
        drill_age=number("drill_max_days", 35) * DAY,
        drill_target=str(given.get("drill_target") or request.target),
        time_tolerance=number("time_tolerance", 300),
        deploy=number("deploy_seconds", 600),
        connections_warn=number("connections_warn_percent", 80),
        connections_fail=number("connections_fail_percent", 95),
        ignore_consumers=frozenset(str(item) for item in given.get("ignore_consumers") or ()),
    )


def _cleanup(given: Mapping[str, Any], request: Request) -> Wanted:
    """What a cleanup would be asked for. A number that it would refuse counts as its default."""
    told = {name: value for name, value in given.items() if name in _OF_CLEANUP and value not in (None, "")}
    fixed = {"target": request.target, "environment": request.environment, "now": rfc3339(request.now)}
    days = {"undo_days": told["retention_days"]} if "retention_days" in told else {}
    return read_wanted({**told, **fixed, **days}, Findings())


@dataclass(frozen=True)
class Unread:
    """Why a fact is not known, and what to do about it."""

    reason: str
    hint: str = ""
    code: str = ""


@dataclass(frozen=True)
class World:
    """Everything that was read, and what could not be."""

    request: Request
    limits: Limits
    facts: Facts
    unread: Mapping[str, Unread]
    connection: Mapping[str, Any]
    sessions: Mapping[str, Any]
    drills: tuple[Mapping[str, Any], ...]

    @property
    def now(self) -> datetime:
        return self.request.now

    @cached_property
    def _sought(self) -> tuple[Primary | None, Findings]:
        findings = Findings()
        if {"branches", "application"} & self.unread.keys():
            return None, findings
        return find_primary(self.facts, self.request, findings), findings

    @property
    def primary(self) -> Primary | None:
        return self._sought[0]

    @property
    def known_primary(self) -> Primary:
        """The primary, for a line that is judged only where there is one."""
        primary = self.primary
        if primary is None:
            raise AssertionError("a line that needs the primary was judged without one")
        return primary

    @property
    def why_no_primary(self) -> tuple[str, str]:
        """Why the primary cannot be found, and what to do."""
        problems = self._sought[1].problems
        if not problems:
            return "the primary is not known", ""
        return problems[0]["message"], problems[0]["what_to_do"]

    def missing(self, needs: tuple[str, ...]) -> Unread | None:
        """The first of these facts that is not known."""
        for name in needs:
            if name == "primary":
                short = self.missing(("branches", "application"))
                if short is not None or self.primary is None:
                    return short or Unread("which branch is the primary is not known")
            elif name in self.unread:
                return self.unread[name]
        return None

    @cached_property
    def asleep(self) -> bool:
        """Whether the primary's compute is suspended, so that a connection would wake it."""
        state = self.primary.address.endpoint.get("current_state") if self.primary else None
        return state == "idle"


def read_world(params: Mapping[str, Any]) -> World:
    """Read the options of `audit_lines`.

    :raises InvalidInput: when `now` cannot be read.
    """
    given, results = params["request"], params.get("facts") or {}
    request = read_request(given)
    unread = {name: why for name, key in FACTS.items() if (why := _unread(results.get(name), key)) is not None}

    def of(name: str) -> Any:
        return {} if name in unread else results[name]

    facts = read_facts(
        {
            "project": of("project").get("project"),
            "branches": of("branches").get("branches"),
            "application": of("application"),
            "deployments": of("deployments"),
            "consumers": of("consumers").get("consumers"),
            "unreadable": of("consumers").get("unreadable"),
            "records": of("catalogue").get("records"),
            "backups": of("backups").get("records"),
            "unfinished": of("journals").get("unfinished"),
            "snapshots": of("snapshots").get("snapshots"),
        },
        request.target,
    )
    return World(
        request=request,
        limits=read_limits(given, request),
        facts=facts,
        unread=unread,
        connection=of("connection").get("connection") or {},
        sessions=of("sessions"),
        drills=tuple(of("drills").get("records") or ()),
    )


def _unread(result: Any, key: str) -> Unread | None:
    if not isinstance(result, Mapping) or not result:
        return Unread("it was not read")
    if result.get(key) is not None:
        return None
    error = result.get("error") if isinstance(result.get("error"), Mapping) else {}
    hint = str((error or {}).get("hint") or "")
    text = str(result.get("msg") or result.get("skipped_reason") or result.get("skip_reason") or "it was not read")
    reason = " ".join(text.removesuffix(hint).split())
    return Unread(reason[:_LONGEST_REASON], hint, str((error or {}).get("code") or ""))


def states(unknown: str, **named: State) -> dict[str, State]:
    """The states of a line, with `unknown` and how bad that is."""
    advice = "Mend what kept it from being read, and run the audit again."
    return {**named, UNKNOWN: State(unknown, advice)}


def plainly(text: str) -> Callable[[World], str]:
    """An expectation that does not depend on the target."""
    return lambda _world: text


def names_of(items: list[str], most: int = 5) -> str:
    """A few names for a line; how many more there are."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def size_text(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
