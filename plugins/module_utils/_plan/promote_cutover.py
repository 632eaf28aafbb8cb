# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cutover inside of a promotion: the plan of that restore, and the runs that have begun one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .promote_names import Subject
from .promote_text import no_root
from .promote_wanted import Asked
from .request import Facts, Findings, Request
from .runs import CUTS_OVER
from .shape import build as build_restore

# Why the road of snapshots is closed for good, and not only for now.
_NO_ROOT = frozenset({"not_root", "source_not_root"})


def run_id(run: Mapping[str, Any]) -> str:
    return str(run.get("id") or run.get("run"))


def inner_run(request: Request, facts: Facts) -> Mapping[str, Any] | None:
    """The cutover of this promotion that was begun and never ended."""
    for run in facts.unfinished:
        if (run.get("inputs") or {}).get("promotion") == request.run and request.run:
            return run
    return None


def own_cutover(request: Request, subject: Subject) -> str | None:
    """The cutover that this promotion has made, where it is gone on with after that."""
    cutover = subject.cutover
    return cutover.run if cutover is not None and cutover.at >= request.started else None


def check_unfinished(request: Request, facts: Facts, inner_id: str | None, findings: Findings) -> None:
    for run in facts.unfinished:
        named, verb = run_id(run), str(run.get("verb") or "restore")
        if named in (request.run, inner_id) or verb not in CUTS_OVER:
            continue
        findings.problem(
            "run_stuck" if run.get("status") == "stuck" else "unfinished_run",
            f"The run {named} ({verb}) of this target never finished.",
            "Run it again with the same inputs to finish it, or take it back first: "
            f"ansible-playbook playbooks/undo.yml -e run={named}",
        )


def cutover_inside(
    params: Mapping[str, Any], request: Request, asked: Asked, subject: Subject, findings: Findings
) -> dict[str, Any]:
    """The plan of the restore inside, whose problems are those of the promotion."""
    strategy = "repoint" if asked.option == "a" else "snapshot"
    more = {
        "backup": subject.backup_id,
        "cutover": strategy,
        "promotion": request.run or "this",
        "keep_days": asked.grace_days,
        "point_in_time": None,
        "lsn": None,
    }
    given = params["request"]
    unfinished = [item for item in params.get("unfinished") or () if str(item.get("id")) != request.run]
    inside = {**(given.get("restore") or {}), **_common(given), **more}
    inner = build_restore({**params, "request": inside, "unfinished": unfinished, "losses": None, "migration": {}})
    closed = [item for item in inner["problems"] if item["code"] in _NO_ROOT]
    for item in inner["problems"]:
        if item not in closed:
            findings.problem(item["code"], item["message"], item["what_to_do"])
    if closed:
        findings.problem(*no_root(closed, params["branches"], subject))
    # Those that count on the data being read are the restore's own to give, once it has been.
    for text in inner["warnings"]:
        findings.warn(text)
    price = ((inner.get("strategy") or {}).get("offered") or {}).get(strategy) or {}
    return {
        "strategy": strategy,
        "backup": (inner.get("restore_point") or {}).get("backup") or subject.name,
        "restore_point": inner["restore_point"],
        "interval_lost": inner["interval_lost"],
        "downtime": (price.get("expected_downtime") or {}).get("text"),
        "steps": inner["steps"],
        "env": inner["env"],
        "wakes": inner["wakes"] or [],
    }


def _common(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: given.get(key) for key in ("target", "environment", "now", "started", "env_key")}
