# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for, and what is known: the two inputs of a plan, read once into values that the rest can trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from .._errors import InvalidInput
from .._time import parse_instant, rfc3339, utc_now
from .instants import instant_or_none
from .lineage import Tree

# What makes two runs the same run: a second run with these inputs continues the first, or finds it done (rule 22).
SAME_INPUTS = ("point_in_time", "lsn", "backup", "cutover", "source_branch", "deploy_commit", "promotion")
# Where the present string is looked for when Coolify does not show it, or Neon not its password (rule 5).
OLD_CONNECTION_ENV = "REWIND_OLD_CONNECTION_STRING"
_RECORD_KEYS = {"v", "at", "event", "branch_id", "target", "run"}


@dataclass
class Findings:
    """All problems and warnings of a plan. Nothing stops at the first one (design, section 3, step 1)."""

    problems: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def problem(self, code: str, message: str, what_to_do: str) -> None:
        found = {"code": code, "message": message, "what_to_do": what_to_do}
        if found not in self.problems:
            self.problems.append(found)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True)
class Request:
    """The request, typed; what was left empty is None. All lengths of time are in seconds."""

    target: str
    environment: str
    now: datetime
    started: datetime
    run: str | None
    point_in_time: str | None
    lsn: str | None
    backup: str | None
    cutover: str
    source_branch: str | None
    deploy_commit: str | None
    # The promotion that it is a part of, by its run: the application then uses the backup itself.
    promotion: str | None
    env_key: str
    database: str | None
    reuse: bool
    accept_schema_mismatch: bool
    accept_downtime: bool
    allow_unprotect: bool
    require_health_check: bool
    fence_writes: bool
    hashes: bool
    again: bool
    also_repoint: tuple[str, ...]
    ignore_consumers: tuple[str, ...]
    not_restored: tuple[str, ...]
    old_connection_env: str
    zone: tzinfo | None
    verify_seconds: float
    confirm_seconds: float
    cutover_deadline: float
    revert_budget: float
    keep_days: float

    @property
    def margin(self) -> float:
        """How much of the window may pass before the data is needed: verification, confirmation, deadline (rule 4)."""
        return self.verify_seconds + self.confirm_seconds + self.cutover_deadline

    @property
    def promotes_backup(self) -> bool:
        """Whether the application is to use the backup that is named, and not a branch made from it."""
        return self.promotion is not None and self.backup is not None and self.cutover == "repoint"

    @property
    def is_absolute(self) -> bool:
        """Whether asking again means the same thing: neither a time ago nor `latest` (rule 22)."""
        if self.point_in_time is not None:
            text = self.point_in_time.strip()
            return not (text.startswith("-") or text.lower().endswith("ago"))
        return self.backup != "latest"

    def inputs(self) -> dict[str, str | None]:
        """The inputs that identify a run, as written by the person."""
        return {name: getattr(self, name) for name in SAME_INPUTS}


def read_request(given: Mapping[str, Any]) -> Request:
    """Read the option `request`.

    :raises InvalidInput: for what no plan can be made with: `now`, `started` or `timezone` that cannot be read.
    """

    def text(name: str) -> str | None:
        return str(given[name]).strip() if given.get(name) not in (None, "") else None

    now = parse_instant(given["now"], future=True) if given.get("now") else utc_now()
    return Request(
        target=text("target") or "target",
        environment=text("environment") or "production",
        now=now,
        started=parse_instant(given["started"], now=now, future=True) if given.get("started") else now,
        run=text("run"),
        point_in_time=text("point_in_time"),
        lsn=text("lsn"),
        backup=text("backup"),
        cutover=text("cutover") or "auto",
        source_branch=text("source_branch"),
        deploy_commit=text("deploy_commit"),
        promotion=text("promotion"),
        env_key=text("env_key") or "DATABASE_URL",
        database=text("database"),
        reuse=given.get("reuse") is not False,
        accept_schema_mismatch=bool(given.get("accept_schema_mismatch")),
        accept_downtime=bool(given.get("accept_downtime")),
        allow_unprotect=bool(given.get("allow_unprotect")),
        require_health_check=given.get("require_health_check") is not False,
        fence_writes=given.get("fence_writes_before_cutover") is not False,
        hashes=given.get("hash") is not False,
        again=bool(given.get("again")),
        also_repoint=_texts(given.get("also_repoint")),
        ignore_consumers=_texts(given.get("ignore_consumers")),
        not_restored=_texts(given.get("not_restored")),
        old_connection_env=text("old_connection_env") or OLD_CONNECTION_ENV,
        zone=_zone(text("timezone")),
        verify_seconds=_seconds(given.get("verify_seconds"), 300),
        confirm_seconds=_seconds(given.get("confirm_seconds"), 600),
        cutover_deadline=_seconds(given.get("cutover_deadline"), 900),
        revert_budget=_seconds(given.get("revert_budget"), 600),
        keep_days=_seconds(given.get("keep_days"), 7),
    )


def _texts(value: Iterable[Any] | None) -> tuple[str, ...]:
    # An unanswered question of a survey is an empty text, and as a list one empty name.
    return tuple(text for item in value or () if (text := str(item).strip()))


def _seconds(value: Any, default: float) -> float:
    return float(value) if value is not None else float(default)


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InvalidInput(
            f'use the time zone "{name}": this machine does not know it',
            hint="Write a name like Europe/Berlin, or leave it out for this machine's own.",
        ) from None


@dataclass(frozen=True)
class Cutover:
    """One recorded cutover of this target, from the catalogue.

    :param undone: it is the way back of an earlier one.
    """

    at: datetime
    strategy: str
    from_branch_id: str
    to_branch_id: str
    preserved_branch_id: str | None
    restore_point: datetime | None
    restore_lsn: str | None
    backup: str | None
    from_since: datetime | None
    run: str | None
    proven: bool
    undone: bool
    source_branch_id: str | None = None
    deploy_commit: str | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that was read, as the modules returned it. Nothing here is ever fetched."""

    project: Mapping[str, Any]
    branches: tuple[Mapping[str, Any], ...]
    application: Mapping[str, Any]
    version: str | None
    abilities: Mapping[str, str]
    deployments: tuple[Mapping[str, Any], ...]
    running: tuple[Mapping[str, Any], ...]
    last_finished: Mapping[str, Any] | None
    consumers: tuple[Mapping[str, Any], ...]
    unreadable: tuple[Mapping[str, Any], ...]
    records: tuple[Mapping[str, Any], ...]
    backups: tuple[Mapping[str, Any], ...]
    unfinished: tuple[Mapping[str, Any], ...]
    migration: Mapping[str, Any]
    losses: Mapping[str, Any] | None
    other_targets: tuple[Mapping[str, Any], ...]
    rehearsal: tuple[Mapping[str, Any], ...]
    failed_reads: Mapping[str, str]
    target: str
    # None where nobody has read them.
    snapshots: tuple[Mapping[str, Any], ...] | None = None

    @cached_property
    def tree(self) -> Tree:
        return Tree.of(self.branches, operations=self.project.get("running_operations") or ())

    @cached_property
    def by_id(self) -> dict[str, Mapping[str, Any]]:
        return {str(branch["id"]): branch for branch in self.branches}

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self.application.get("environment") or ())

    @cached_property
    def cutovers(self) -> tuple[Cutover, ...]:
        """The recorded cutovers of this target, oldest first; a record that names no instant proves nothing."""
        found = [
            _cutover(record)
            for record in self.records
            if record.get("event") == "cutover" and record.get("target") in (None, self.target)
        ]
        return tuple(sorted((item for item in found if item is not None), key=lambda item: item.at))

    @cached_property
    def branch_facts(self) -> dict[str, dict[str, Any]]:
        """What the catalogue says about each branch: verified, pinned, used, expiry_cleared, made ... (rule 12)."""
        facts: dict[str, dict[str, Any]] = {}
        for record in self.records:
            branch_id = record.get("branch_id")
            if not branch_id or record.get("event") == "cutover":
                continue
            known = facts.setdefault(str(branch_id), {})
            if record.get("event"):
                known[str(record["event"])] = True
            known.update({key: value for key, value in record.items() if key not in _RECORD_KEYS})
        return facts

    def is_ours(self, branch_id: str) -> bool:
        """Made by this collection: the annotation that it sets is there, or the catalogue has the id (rule 12)."""
        annotations = (self.by_id.get(branch_id) or {}).get("annotations") or {}
        if any(str(key).startswith("rewind") for key in annotations):
            return True
        return str(annotations.get("tool") or "").startswith("rewind") or branch_id in self.branch_facts

    def drill_of(self, branch_id: str) -> str:
        """The drill that a branch was made for, by its run; empty for any other branch."""
        known = self.branch_facts.get(branch_id) or {}
        annotations = (self.by_id.get(branch_id) or {}).get("annotations") or {}
        return str(known.get("drill") or annotations.get("drill") or "")


def read_facts(params: Mapping[str, Any], target: str) -> Facts:
    """Read the options that hold what the information modules returned; whole results are understood as well."""
    application = params.get("application") or {}
    deployments = params.get("deployments") or {}
    inner = application.get("application") if isinstance(application.get("application"), Mapping) else None
    return Facts(
        project=(params.get("project") or {}).get("project") or params.get("project") or {},
        branches=tuple(params.get("branches") or ()),
        application=inner if inner is not None else application,
        version=application.get("version"),
        abilities=application.get("abilities") or {},
        deployments=tuple(deployments.get("deployments") or ()),
        running=tuple(deployments.get("running") or ()),
        last_finished=deployments.get("last_finished"),
        consumers=tuple(params.get("consumers") or ()),
        unreadable=tuple(params.get("unreadable") or ()),
        records=tuple(params.get("records") or ()),
        backups=tuple(params.get("backups") or ()),
        unfinished=tuple(params.get("unfinished") or ()),
        migration=params.get("migration") or {},
        losses=params.get("losses") or None,
        other_targets=tuple(params.get("other_targets") or ()),
        rehearsal=tuple(params.get("rehearsal") or ()),
        failed_reads={side: str(why) for side, why in (params.get("failed_reads") or {}).items() if why},
        target=target,
        snapshots=tuple(params["snapshots"]) if params.get("snapshots") is not None else None,
    )


def _cutover(record: Mapping[str, Any]) -> Cutover | None:
    at = instant_or_none(record.get("at"))
    if at is None or not record.get("from_branch_id") or not record.get("to_branch_id"):
        return None
    return Cutover(
        at=at,
        strategy=str(record.get("strategy") or ""),
        from_branch_id=str(record["from_branch_id"]),
        to_branch_id=str(record["to_branch_id"]),
        preserved_branch_id=record.get("preserved_branch_id") or None,
        restore_point=instant_or_none(record.get("restore_point")),
        restore_lsn=record.get("restore_lsn") or None,
        backup=record.get("backup") or None,
        from_since=instant_or_none(record.get("from_since")),
        run=record.get("run") or None,
        proven=bool(record.get("proven")),
        undone=bool(record.get("undone")),
        source_branch_id=record.get("source_branch_id") or None,
        deploy_commit=record.get("deploy_commit") or None,
    )


def running_commit(facts: Facts) -> str | None:
    """The commit of the last finished deployment. `HEAD` names none: so Coolify calls what has no commits, an image."""
    named = (facts.application.get("commit"), (facts.last_finished or {}).get("commit"))
    return next((str(commit) for commit in named if commit not in (None, "", "HEAD")), None)


def describe(moment: datetime | None) -> str:
    """An instant for a message; `unknown` where there is none."""
    return rfc3339(moment) if moment is not None else "unknown"


def slots(facts: Facts, added: Mapping[str, int]) -> dict[str, Any]:
    """Branches and root branches: how many there are, may be, and are added. A limit of None or below 0 is none."""
    limits, counts, now = facts.project.get("limits") or {}, facts.project.get("counts") or {}, facts.tree.slots()
    shown: dict[str, Any] = {}
    for kind, key, fallback in (("branches", "branches", now.branches), ("roots", "root_branches", now.roots)):
        used = int(counts[key]) if counts.get(key) is not None else fallback
        limit = limits.get(key)
        limit = None if limit is None or int(limit) < 0 else int(limit)
        free = None if limit is None else limit - used
        shown[kind] = {"used": used, "limit": limit, "adds": added[kind], "free": free}
    return shown
