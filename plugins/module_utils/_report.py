# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report shows, computed once for all of its forms.

The facts come as one dictionary, of which every part may be missing. `view` turns them into texts and numbers that a
template only has to place; each text is escaped for the form on the way out, so that no template can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ._errors import InvalidInput
from ._predicted import is_predicted
from ._report_lines import lines_part
from ._report_parts import ESCAPES, escaped, moment_text, nested
from ._report_strategies import strategies_part
from ._state import Guard
from ._time import ago, duration, parse_instant

Json = dict[str, Any]

# The runbook's recovery time objectives, the longest of each range, in seconds.
OBJECTIVES: Mapping[str, Mapping[str, float]] = {
    "time": {"branch": 180, "verify": 300, "cutover": 420, "total": 900},
    "backup": {"branch": 60, "verify": 120, "cutover": 420, "total": 600},
    "backup_run": {"branch": 180, "verify": 300},
}
# Of a table whose rows were changed these are the least that they can be.
_LEAST = ("lost", "restored")
_TITLES = {True: "It worked", False: "It did not work"}
# What the steps of a run are called where the run gave them no title.
_STEP_TITLES = {
    "branch": "Branch at the restore point",
    "cutover": "Cut over",
    "fence": "Fence and keep the old state",
    "undo": "Take the cutover back",
    "revert": "Take the cutover back",
}
_STATUS = {
    "done": ("good", "done"),
    "ok": ("good", "done"),
    "changed": ("good", "done"),
    "failed": ("bad", "failed"),
    "stuck": ("bad", "stuck"),
    "undone": ("back", "taken back"),
    "skipped": ("none", "not needed"),
    "predicted": ("none", "would be done"),
    "intent": ("open", "outcome unknown"),
    "running": ("open", "not finished"),
}


def facts(data: Mapping[str, Any], objectives: Mapping[str, Any] | None = None) -> Json:
    """The report as data: what was given, without secrets, with the objectives and sums that the other forms show."""
    cleaned: Json = Guard().clean(data)
    steps, summary = _steps(cleaned, objectives or {})
    return {**cleaned, "steps": steps, "counts": _counts_given(cleaned), "summary": summary}


def view(
    data: Mapping[str, Any], form: str, objectives: Mapping[str, Any] | None = None, now: str | None = None
) -> Json:
    """What a template places, every text escaped for its form.

    :param form: `html`, `markdown` or `json` (nothing is escaped).
    :param objectives: seconds by step id, and `total`; they go before the runbook's.
    :param now: when the report is made, RFC 3339; this machine's clock by default.
    """
    given = facts(data, objectives)
    made = _instant(now) or datetime.now(UTC)
    plan = _dict(given.get("plan"))
    verdict = _dict(given.get("verdict"))
    shown = {
        "target": _text(given.get("target") or plan.get("target") or "unknown target"),
        "environment": _text(given.get("environment") or plan.get("environment")),
        "verb": _text(given.get("verb") or "run"),
        "run": _text(given.get("run")),
        "made_at": made.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "ok": bool(verdict.get("ok")),
        "title": moment_text(_text(verdict.get("title") or _TITLES[bool(verdict.get("ok"))])),
        "sentences": _sentences(verdict.get("sentences")),
        "facts": _key_facts(given, plan, made),
        "timeline": _timeline(given),
        "trees": _trees(given, plan),
        "counts": _counts(given),
        "next": _sentences(given.get("next")),
        "undo": _undo(given, plan, made),
        "not_restored": _texts(given.get("not_restored") or plan.get("not_restored")),
        "warnings": _sentences(given.get("warnings") or plan.get("warnings")),
        "problems": [
            {"message": _text(item.get("message")), "what_to_do": _text(item.get("what_to_do"))}
            for item in map(_dict, _list(given.get("problems") or plan.get("problems")))
        ],
        "backup": _backup(_dict(given.get("backup")), made),
        "lines": lines_part(given),
        "strategies": strategies_part(given),
        "moved": _moved(plan) if _happened(given) else [],
        "details": [] if given.get("comparison") else _details(plan),
    }
    cleaned: Json = escaped(shown, ESCAPES[form])
    return cleaned


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    if value is None or value == "":
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in _list(value) if item not in (None, "")]


def _sentences(value: Any) -> list[str]:
    return [moment_text(text) for text in _texts(value)]


def _instant(value: Any) -> datetime | None:
    try:
        return parse_instant(value, future=True) if value else None
    except InvalidInput:
        return None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _kind(data: Mapping[str, Any]) -> str:
    if data.get("verb") == "backup":
        return "backup_run"
    point = _dict(data.get("restore_point") or _dict(data.get("plan")).get("restore_point"))
    return "backup" if point.get("kind") == "backup" else "time"


def _steps(data: Mapping[str, Any], objectives: Mapping[str, Any]) -> tuple[list[Json], Json]:
    """The steps with their seconds and objectives, and the whole run against its own."""
    wanted = {**OBJECTIVES[_kind(data)], **objectives}
    steps = []
    for given in map(_dict, _list(data.get("steps"))):
        began, ended = _instant(given.get("started")), _instant(given.get("finished"))
        seconds = _number(given.get("seconds"))
        if seconds is None and began and ended:
            seconds = (ended - began).total_seconds()
        objective = _number(given.get("objective_seconds"))
        if objective is None:
            objective = _number(wanted.get(_text(given.get("step"))))
        within = None if seconds is None or objective is None else seconds <= objective
        steps.append({**given, "seconds": seconds, "objective_seconds": objective, "within_objective": within})
    total, objective = _total(steps), _number(wanted.get("total"))
    return steps, {
        "total_seconds": total,
        "objective_seconds": objective,
        "within_objective": None if total is None or objective is None else total <= objective,
    }


def _total(steps: Sequence[Mapping[str, Any]]) -> float | None:
    """From the first start to the last end where these are known, else the sum of the steps."""
    began = [moment for step in steps if (moment := _instant(step.get("started"))) is not None]
    ended = [moment for step in steps if (moment := _instant(step.get("finished"))) is not None]
    if began and ended and max(ended) >= min(began):
        return (max(ended) - min(began)).total_seconds()
    known = [step["seconds"] for step in steps if step.get("seconds") is not None]
    return sum(known) if known else None


def _timeline(data: Mapping[str, Any]) -> Json:
    steps, summary = data["steps"], data["summary"]
    total = summary["total_seconds"]
    first = min((moment for step in steps if (moment := _instant(step.get("started"))) is not None), default=None)
    rows, cursor = [], 0.0
    for number, step in enumerate(steps, start=1):
        seconds = step["seconds"]
        began = _instant(step.get("started"))
        start = (began - first).total_seconds() if began is not None and first is not None else cursor
        cursor = start + (seconds or 0)
        kind, words = _STATUS.get(_text(step.get("status")), ("open", _text(step.get("status") or "unknown")))
        rows.append(
            {
                "number": number,
                "title": _text(step.get("title")) or _title_of(_text(step.get("step"))),
                "kind": kind,
                "status": words,
                "duration": duration(seconds) if seconds is not None else "",
                "objective": _objective(step["objective_seconds"]),
                "within": step["within_objective"],
                "left": _percent(start, total),
                "width": max(_percent(seconds or 0, total), 0.6) if seconds is not None else 0,
                "detail": _text(step.get("detail")),
            }
        )
    return {
        "rows": rows,
        "total": duration(total) if total is not None else "",
        "objective": _objective(summary["objective_seconds"]),
        "within": summary["within_objective"],
    }


def _title_of(step: str) -> str:
    return _STEP_TITLES.get(step) or step.replace("_", " ").capitalize()


def _objective(seconds: float | None) -> str:
    return "" if seconds is None else f"at most {duration(seconds)}"


def _percent(part: float, whole: float | None) -> float:
    return round(min(max(part / whole * 100, 0), 100), 2) if whole else 0.0


def _key_facts(data: Mapping[str, Any], plan: Mapping[str, Any], made: datetime) -> list[Json]:
    found: list[Json] = []

    def add(label: str, value: str, *notes: str) -> None:
        if value:
            found.append({"label": label, "value": value, "notes": [note for note in notes if note]})

    point = _dict(data.get("restore_point") or plan.get("restore_point"))
    lsn = f"LSN {point['lsn']}" if point.get("lsn") else ""
    when = moment_text(_text(point.get("utc"))) or lsn
    backup = f"from {point['backup']}" if point.get("backup") else ""
    add("Restore point", when, _text(point.get("local")), _text(point.get("ago")), backup)
    add(
        "Interval lost" if _happened(data) else "Interval at stake",
        *_interval(data.get("interval_lost") or plan.get("interval_lost")),
    )
    timeline = _timeline(data)
    objective = timeline["objective"]
    verdict = {True: "within the objective", False: "over the objective"}.get(timeline["within"], "")
    add("Time taken", timeline["total"], f"objective: {objective}" if objective else "", verdict)
    chosen = _text(_dict(plan.get("strategy")).get("chosen"))
    add("Cutover", chosen.replace("_", " "), _text(_dict(plan.get("strategy")).get("why")))
    source = _dict(plan.get("source"))
    add("Restored from", _text(source.get("name")), moment_text(_text(source.get("why"))))
    return found


def _interval(given: Any) -> tuple[str, ...]:
    if not isinstance(given, Mapping):
        seconds = _number(given)
        return (duration(seconds),) if seconds is not None else (_text(given),)
    seconds = _number(given.get("seconds"))
    text = _text(given.get("text")) or (duration(seconds) if seconds is not None else "")
    ends = [moment_text(_text(given.get(key))) for key in ("from", "to")]
    span = " to ".join(ends) if all(ends) else ""
    return text, span


def _happened(data: Mapping[str, Any]) -> bool:
    """Whether what was planned came about. Of a run that failed or was taken back, the plan says nothing about now."""
    return data.get("verb") != "plan" and _dict(data.get("verdict")).get("ok") is not False


def _trees(data: Mapping[str, Any], plan: Mapping[str, Any]) -> list[Json]:
    """The branches before and after; the plan's own where the run gave none."""
    strategy = _dict(plan.get("strategy"))
    price = _dict(_dict(strategy.get("offered")).get(_text(strategy.get("chosen"))))
    trees = []
    if data.get("comparison"):
        return []
    for title, key in (("Before", "tree_before"), ("After", "tree_after")):
        planned = price.get(key) if key == "tree_before" or _happened(data) else None
        rows = [_dict(row) for row in _list(data.get(key) or planned)]
        if rows:
            trees.append({"title": title, "roots": nested(rows)})
    return trees


def _counts_given(data: Mapping[str, Any]) -> list[Json]:
    """The counts per table; from the plan's losses where the run gave none. `after` is what is there now."""
    given = [dict(_dict(item)) for item in _list(data.get("counts"))]
    if not given and (_happened(data) or data.get("verb") == "plan"):
        losses = _dict(_dict(data.get("plan")).get("losses"))
        given = [
            {
                "table": item.get("table"),
                "before": item.get("now"),
                "lost": item.get("lost"),
                "restored": item.get("restored"),
                "after": item.get("at_point"),
                "exact": item.get("exact"),
            }
            for item in map(_dict, _list(losses.get("tables")))
        ]
    for item in given:
        if item.get("after") is None:
            parts = [_number(item.get(key)) for key in ("before", "lost", "restored")]
            known = [part for part in parts if part is not None]
            item["after"] = int(known[0] - known[1] + known[2]) if len(known) == 3 else None
    return given


def _counts(data: Mapping[str, Any]) -> Json:
    keys = ("before", "lost", "restored", "after")
    rows: list[Json] = []
    sums, unknown = dict.fromkeys(keys, 0.0), dict.fromkeys(keys, 0)
    for item in data["counts"]:
        least = _LEAST if item.get("exact") is False else ()
        for key in keys:
            number = _number(item.get(key))
            sums[key] += number or 0
            unknown[key] += number is None or key in least
        rows.append(
            {
                "table": _text(item.get("table")),
                **{key: _least(item.get(key)) if key in least else _count(item.get(key)) for key in keys},
                "is_lost": bool(_number(item.get("lost"))),
                "is_restored": bool(_number(item.get("restored"))),
            }
        )
    total = {key: _least(sums[key]) if unknown[key] else _count(sums[key]) for key in keys}
    return {"rows": rows, "total": total if len(rows) > 1 else None}


def _least(value: Any) -> str:
    """A number that may be greater: none is then not known to be none."""
    return f"at least {_count(value)}" if _number(value) else "unknown"


def _count(value: Any) -> str:
    number = _number(value)
    return "unknown" if number is None else f"{int(number):,}"


def _undo(data: Mapping[str, Any], plan: Mapping[str, Any], made: datetime) -> Json | None:
    given = _dict(data.get("undo") or plan.get("undo"))
    until = _instant(given.get("possible_until"))
    if not given:
        return None
    return {
        "until": until.strftime("%A %Y-%m-%d %H:%M UTC") if until else _text(given.get("possible_until")),
        "left": ago(until, made) if until else "",
        "over": until is not None and until < made,
        "command": _text(given.get("command")),
    }


def _backup(backup: Mapping[str, Any], made: datetime) -> list[Json]:
    """Whatever a backup's record says, in its own order, with words for keys."""
    rows = []
    for key, value in backup.items():
        if value in (None, "", [], {}) or isinstance(value, (Mapping, list)):
            continue
        moment = _instant(value) if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", value) else None
        text = _count(value) if isinstance(value, int) else _text(value)
        text = ("yes" if value else "no") if isinstance(value, bool) else text
        note = ago(moment, made) if moment is not None else ""
        rows.append({"label": key.replace("_", " ").capitalize(), "value": moment_text(text), "note": note})
    return rows


def _moved(plan: Mapping[str, Any]) -> list[Json]:
    rows = [_dict(row) for row in _list(_dict(plan.get("env")).get("rows"))]
    return [
        {
            "key": _text(row.get("key")) + (" (preview)" if row.get("is_preview") else ""),
            "from_host": _text(row.get("from_host")),
            "to_host": _host(row.get("to_host")),
        }
        for row in rows
    ]


def _host(host: Any) -> str:
    """A host; of a compute that did not exist yet when the plan was made, whose it is."""
    text = _text(host)
    return f"the compute of {text.partition('/')[2]}" if is_predicted(text) else text


def _details(plan: Mapping[str, Any]) -> list[Json]:
    """The plan's steps in words, and what can never be deleted afterwards."""
    steps = [
        {"title": f"{step.get('number')}. {step.get('title')}", "lines": _sentences(step.get("does"))}
        for step in map(_dict, _list(plan.get("steps")))
    ]
    strategy = _dict(plan.get("strategy"))
    price = _dict(_dict(strategy.get("offered")).get(_text(strategy.get("chosen"))))
    kept = [f"{item.get('name')}: {item.get('why')}" for item in map(_dict, _list(price.get("undeletable_afterwards")))]
    return [*steps, *([{"title": "Cannot be deleted afterwards", "lines": kept}] if kept else [])]
