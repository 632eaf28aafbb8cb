# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run over many targets: what came of each, and the report over all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

OK, FAILED, SKIPPED, NOT_STARTED = "OK", "FAILED", "skipped", "not started"
OUTCOMES = (OK, FAILED, SKIPPED, NOT_STARTED)
# A lock of these says that somebody works on the target now. One that is kept for a stuck run needs a person instead.
_AT_WORK = ("held", "other_host")
# What Ansible prints before a line of a message takes eight columns, and the last must stay free.
_WIDTH = 71
_LONGEST_NAME = 24
_MOST_LINES = 4


def held_by_others(locks: Iterable[Mapping[str, Any]], names: Iterable[str], break_lock: str = "") -> str:
    """Who works on a target now, in one sentence; empty where nobody does.

    :param locks: as `run_lock` lists them.
    :param names: the locks that a run on this target takes.
    :param break_lock: the run whose locks are about to be broken.
    """
    wanted = set(names)
    for lock in locks:
        if lock["name"] not in wanted or lock["state"] not in _AT_WORK or lock["run"] == (break_lock or None):
            continue
        owner = lock["owner"]
        held = f"Run {lock['run']} holds {lock['name']} (process {owner['pid']} on {owner['host']}, since "
        if lock["state"] == "held":
            return f"{held}{lock['taken_at']}), so this target was left alone."
        return (
            f"{held}{lock['taken_at']}), so this target was left alone. Whether that run still lives cannot be seen "
            f"from this host: where it surely does not, say -e break_lock={lock['run']}."
        )
    return ""


def refused_by_lock(message: str, registered: Iterable[Any]) -> bool:
    """Whether a target failed because another run holds its lock and is at work.

    :param message: with which it failed.
    :param registered: the results of the tasks that take locks.
    """
    for result in registered:
        error = result.get("error") if isinstance(result, Mapping) else None
        is_held = isinstance(error, Mapping) and error.get("code") == "locked_by_run" and error.get("retryable")
        if is_held and str(result.get("msg") or message) in message:
            return True
    return False


def said(verb: str, result: Mapping[str, Any]) -> str:
    """What a role that succeeded says of itself in a line."""
    if verb == "backup":
        return f"{result.get('name')}{'' if result.get('changed') else ', there already'}"
    if verb == "audit":
        return ", ".join(f"{count} {status}" for status, count in (result.get("summary") or {}).items() if count)
    if verb == "restore":
        return _restored(result)
    if verb == "promote":
        return f"{(result.get('branch') or {}).get('name')} is the primary"
    if verb == "cleanup":
        return _cleaned(result)
    if verb == "drill":
        return f"{result.get('mode')}, proven in {float(result.get('seconds') or 0):.0f} s"
    if verb == "predeploy":
        return str(result.get("backup") or "no backup is needed")
    if verb == "plan":
        return _planned(result)
    if verb == "find_restore_point":
        return str(result.get("command") or result.get("kind") or "done").replace("_", " ")
    if verb == "salvage":
        return str(result.get("path") or "done")
    if verb == "undo":
        return f"run {result.get('run')} is taken back"
    return str(result.get("outcome") or "done").replace("_", " ")


def _restored(result: Mapping[str, Any]) -> str:
    plan = result.get("plan") or {}
    point = plan.get("restore_point") or {}
    at = point.get("utc") or point.get("lsn") or "the restore point"
    how = (plan.get("strategy") or {}).get("chosen") or "a cutover"
    return f"{at} by {how}{'' if result.get('changed') else ', there already'}"


def _planned(result: Mapping[str, Any]) -> str:
    strategy = (result.get("plan") or {}).get("strategy") or {}
    return str(result.get("command") or f"{strategy.get('chosen') or 'no strategy'}: {strategy.get('why') or ''}")


def _cleaned(result: Mapping[str, Any]) -> str:
    gone = len(result.get("deleted") or ()) + len(result.get("deleted_snapshots") or ())
    if result.get("confirmed"):
        return f"{gone} deleted"
    return f"nothing deleted yet; to confirm: {result.get('command')}" if result.get("command") else "nothing to delete"


def report(verb: str, rows: Iterable[Mapping[str, Any]]) -> Json:
    """The report over all targets.

    :param rows: of each target, in their order: ``target``, ``outcome``, ``seconds``, ``message``.
    :returns: ``text`` (lines of at most 71 columns), ``title``, ``counts``, ``lines`` as in the report of an audit,
        ``ok``, ``again`` (the targets on which the run is still to be done).
    """
    found = [_row(row) for row in rows]
    counts = {outcome: sum(1 for row in found if row["outcome"] == outcome) for outcome in OUTCOMES}
    again = [row["target"] for row in found if row["outcome"] != OK]
    title = f"{verb} of {len(found)} targets: " + ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    return {
        "title": title,
        "counts": counts,
        "ok": counts[FAILED] == 0,
        "again": again,
        "text": [title, "", *_table(found), *_again(again)],
        "targets": found,
        "lines": [
            {
                "id": row["target"],
                "title": row["target"],
                "status": row["outcome"],
                "found": f"{row['message']} ({row['seconds']:.1f} s)",
            }
            for row in found
        ],
    }


def _row(row: Mapping[str, Any]) -> Json:
    outcome = str(row.get("outcome") or FAILED)
    message = " ".join(str(row.get("message") or "It failed before its turn; see above.").split())
    seconds = round(float(row.get("seconds") or 0.0), 1)
    return {"target": str(row["target"]), "outcome": outcome, "seconds": seconds, "message": message}


def _table(rows: list[Json]) -> list[str]:
    width = min(max([len("target"), *(len(row["target"]) for row in rows)]), _LONGEST_NAME)
    lines = [f"{'target':<{width}}  {'outcome':<11}  {'seconds':>7}  what"]
    for row in rows:
        start = f"{row['target']:<{width}}  {row['outcome']:<11}  {row['seconds']:>7.1f}"
        if len(row["target"]) > width:
            lines.append(row["target"])
            start = f"{'':<{width}}  {row['outcome']:<11}  {row['seconds']:>7.1f}"
        told = textwrap.wrap(row["message"], _WIDTH - len(start) - 2, max_lines=_MOST_LINES, placeholder=" ...")
        lines.append(f"{start}  {told[0] if told else ''}".rstrip())
        lines += [f"{'':<{len(start)}}  {line}" for line in told[1:]]
    return lines


def _again(targets: list[str]) -> list[str]:
    if not targets:
        return []
    told = "For these the run is still to be done. Again for them alone: the same command with"
    names = textwrap.wrap(f"--limit {','.join(targets)}", _WIDTH, break_on_hyphens=False)
    return ["", *textwrap.wrap(told, _WIDTH), *names]
