# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the PostgreSQL modules do, from a task's options to its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import InvalidInput, RewindError, Timeout
from .._task import Task
from .._time import parse_instant, parse_restore_point, rfc3339
from .._waiter import clock
from . import checks, comparison, fence, manifest, sessions, written
from .access import Access, limits
from .session import Address, connect

CHECK_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str"},
    "kind": {"type": "str", "required": True, "choices": list(checks.KINDS)},
    "table": {"type": "str"},
    "column": {"type": "str"},
    "min": {"type": "int"},
    "max": {"type": "int"},
    "within_percent": {"type": "float"},
    "max_age": {"type": "float"},
    "tolerance": {"type": "float", "default": 0.0},
    "query": {"type": "str"},
    "expect": {"type": "str"},
    "pooled": {"type": "bool", "default": True},
    "role": {"type": "str"},
    "tls": {"type": "bool", "default": True},
}
_NO_SESSIONS: dict[str, Any] = {
    **dict.fromkeys(
        ("count", "matching", "own", "internal_count", "read_only", "xid", "server_started_at", "in_recovery", "at")
    ),
    "sessions": [],
    "connections": None,
    "tls": None,
}


def check_data(task: Task, access: Access | None = None) -> dict[str, Any]:
    """Answer checks.

    :param access: how to get to the data, where many tasks share what they know.
    :raises RewindError: with all messages, when the task is to fail with its checks.
    """
    wanted = [checks.Check.of(options) for options in task.params["checks"]]
    point = task.params["restore_point"]
    restore_point = parse_restore_point(point) if point else None
    access = access or Access(task)
    address = access.address()
    if isinstance(address, str):
        return {"checks": [], "failed_checks": [], "passed": None, "skipped_reason": address}

    def probe(pooled: bool) -> Mapping[str, Any]:
        way = access.address(pooled=pooled)
        if isinstance(way, str):
            raise InvalidInput(way)
        with connect(way, limits(task)) as session:
            return checks.probe(session)

    ways = (False,) if access.is_past else (False, True)
    context = checks.Context(restore_point, task.params["manifest"] or {}, probe, ways)
    if all(check.kind == "connect" for check in wanted):
        # That nobody gets in is an answer here, and no snapshot is needed for it.
        outcomes = [checks.judge_connect(check, context).as_dict() for check in wanted]
    else:
        with connect(address, limits(task)) as session:
            outcomes = [outcome.as_dict() for outcome in checks.run_checks(session, wanted, context)]
    failed = [outcome for outcome in outcomes if not outcome["ok"]]
    result = {"checks": outcomes, "failed_checks": failed, "passed": not failed}
    if failed and task.params["fail"]:
        raise RewindError(
            f"check the data: {len(failed)} of {len(outcomes)} checks failed: "
            + "; ".join(f"{outcome['name']}: {outcome['message']}" for outcome in failed),
            code="checks_failed",
            partial=result,
        )
    return result


def read_manifest(task: Task) -> dict[str, Any]:
    """Take a manifest where a connection is given, and compare where two sides are known."""
    params = task.params
    wanted = dict(params["compare"] or {})
    counts = wanted.pop("count_written", False)
    sides = {side: value for side, value in wanted.items() if value}
    if params["connection"] is None and len(sides) < 2:
        raise InvalidInput(
            "compare manifests: only one side is given",
            hint="Give connection, or both compare.before and compare.after.",
        )
    if counts and (params["connection"] is None or list(sides) != ["before"]):
        raise InvalidInput(
            "count what was written: that needs a database and an earlier manifest",
            hint="Give connection and compare.before, and no compare.after.",
        )
    if params["connection"] is None:
        return {"manifest": None, "comparison": comparison.compare(sides["before"], sides["after"]), "written": None}
    address = Access(task).address()
    if isinstance(address, str):
        return {"manifest": None, "comparison": None, "written": None, "skipped_reason": address}
    taken = _take(task, address)
    result: dict[str, Any] = {"manifest": taken, "comparison": None, "written": None}
    if sides:
        before, after = (sides.get(side) or taken for side in ("before", "after"))
        result["comparison"] = comparison.compare(before, after)
    if counts:
        with connect(address, limits(task)) as session:
            result["written"] = written.count(session, result["comparison"], taken)
    return result


def _take(task: Task, address: Address) -> dict[str, Any]:
    params = task.params
    wanted = manifest.Wanted(
        include=params["include"],
        exclude=params["exclude"],
        newest_columns=params["newest_columns"] or manifest.NEWEST_COLUMNS,
        hash=params["hash"],
    )
    task.progress(f"reading {address.database}")
    with connect(address, limits(task)) as session:
        return manifest.take(session, wanted)


def list_sessions(task: Task) -> dict[str, Any]:
    """Who is connected."""
    address = Access(task).address()
    if isinstance(address, str):
        return {**_NO_SESSIONS, "skipped_reason": address}
    expected = task.params["expect"]
    since = task.params["since"]
    wanted = sessions.Wanted(
        user=task.params["user"],
        since=rfc3339(parse_instant(since, future=True)) if since else None,
        reused=task.params["reused"],
    )
    found: dict[str, Any] = {}
    for elapsed in clock(task.params["wait_timeout"] if expected != "any" else 0.0, 0.5):
        # A session that made itself read only could not say what new ones start with.
        with connect(address, limits(task), read_only=False) as session:
            found = sessions.read_sessions(session, ignore_self=task.params["ignore_self"], wanted=wanted)
        others = found["matching"]
        if expected == "any" or (others > 0) == (expected == "some"):
            return found
        task.progress(f"{others} sessions, waiting for {expected} ({elapsed:.0f} s)")
    raise Timeout(
        f"wait for {_awaited(expected, wanted)} on {address.place}: there are {others} after "
        f"{task.params['wait_timeout']:g} s" + _beside(found),
        partial=found,
        hint="Look at the application's log: it may have no connection, or hold one that it does not use.",
    )


def _awaited(expected: str, wanted: sessions.Wanted) -> str:
    whose = f" of {wanted.user}" if wanted.user else ""
    if expected == "none":
        return f"the last session{whose} to end"
    return f"a new session{whose} since {wanted.since}" if wanted.since else f"a session{whose}"


def _beside(found: dict[str, Any]) -> str:
    """Sessions that are there and do not count: without them the message would contradict what a person sees."""
    beside = found["count"] - found["matching"] - found["own"]
    return f" (and {beside} of other roles or from before)" if beside > 0 else ""


def set_fence(task: Task) -> dict[str, Any]:
    """Fence a database or lift its fence."""
    params = task.params
    access = Access(task)
    fenced = params["state"] == "fenced"
    if access.is_past:
        raise InvalidInput("fence a database: connection.at and connection.lsn read the past", hint="Leave them out.")
    since = rfc3339(parse_instant(params["since"], future=True)) if params["since"] else None
    address = access.address(pooled=False)
    if isinstance(address, str):
        return {"changed": True, "fence": fence.Fence(fenced).as_dict(), "skipped_reason": address}
    changed, found = fence.change(
        address,
        fenced=fenced,
        check_mode=task.check_mode,
        since=since,
        timeout=params["end_timeout"],
        limits=limits(task),
    )
    if task.check_mode:
        found.read_only = fenced
    kept = {key: getattr(found, key) for key in ("read_only", "lsn", "at", "sessions_ended")}
    result = {"changed": changed, "fence": found.as_dict(), "journalled": kept}
    if task.diff_mode:
        result["diff"] = {"before": {"read_only": found.was_read_only}, "after": {"read_only": fenced}}
    return result
