# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A promotion's plan as a person reads it in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .lineage import Tree, held_by
from .promote_names import Subject
from .text import problem_lines, wrapped

_LABEL = 15


def no_root(
    closed: Sequence[Mapping[str, Any]],
    branches: Iterable[Mapping[str, Any]],
    subject: Subject,
    tree: Tree | None = None,
    stay: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, str, str]:
    """Why option B is closed: code, message with what stays and what it costs, and what to do."""
    if tree is None:
        tree = Tree.of(branches)
        ancestors = [tree.nodes[str(subject.backup_id)], *held_by(tree, str(subject.backup_id))]
        names = [node.name for node in ancestors]
    else:
        names = [str(item["name"]) for item in stay]
    why = " ".join(str(item["message"]) for item in closed)
    what = f"restored from {subject.name}, the new primary" if subject.needs_cutover else f"{subject.name}"
    return (
        "no_independent_root",
        f"No primary that depends on no other branch can be made over Neon's API. {why}{' ' if why else ''}As it is, "
        f"{what} hangs on {', '.join(names)}: these stay for as long as it exists, and take {len(names)} of the "
        f"project's {len(tree.nodes)} branches.",
        "Promote it with option=a, which keeps them; or restore to an instant inside the window while the primary is a "
        "root (restore.yml -e cutover=snapshot), then promote with option=b.",
    )


def lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan, line by line."""
    shown = _field("target", f"{plan['target']} ({plan['environment']})")
    shown += _field("option", _OPTIONS[plan["option"]])
    if plan["branch"]:
        shown += [*_subject(plan), *_steps(plan), *_after(plan)]
    shown += _listed("Worth knowing", plan["warnings"])
    return shown + problem_lines(plan["problems"])


def confirmation(plan: Mapping[str, Any]) -> list[str]:
    """What a person must have read before saying yes."""
    return [*_field("target", f"{plan['target']} ({plan['environment']})"), *_subject(plan), *_steps(plan)]


_OPTIONS = {
    "a": "A: the branch becomes the primary; the old primary is kept",
    "b": "B: a new root becomes the primary; the old one is deleted later",
}


def _field(label: str, value: Any) -> list[str]:
    return wrapped(f"{label + ':':<{_LABEL}}{value}", " " * _LABEL)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    found = [line for item in items for line in wrapped(f"- {item}", "  ")]
    return [f"{title}:", *found] if found else []


def _subject(plan: Mapping[str, Any]) -> list[str]:
    branch, old = plan["branch"], plan["old"]
    shown = _field("branch", f"{branch['name']} {branch['branch_id']} -> {plan['names']['new']}")
    if old:
        shown += _field("old primary", f"{old['branch_id']} -> {plan['names']['old']}, kept until {plan['keep_until']}")
        text = {
            "yes": "yes, by cleanup.yml after that day",
            "after_others": f"after that day, once these are gone: {', '.join(old['waits_for'])}",
            "never": "never while the new primary exists",
        }[old["deletable"]]
        shown += _field("  deletable", text)
    cutover = plan["cutover"]
    if cutover:
        shown += _field("cutover", f"{cutover['strategy']}; downtime: {cutover['downtime'] or 'unknown'}")
        shown += _field("time lost", cutover["interval_lost"]["text"])
    return shown


def _steps(plan: Mapping[str, Any]) -> list[str]:
    does = []
    if plan["trial"]:
        does.append(f"Tests the application of {plan['trial']['target']} against it, and puts that back.")
    if plan["cutover"]:
        inner = plan["cutover"]["steps"] or ()
        does += [
            " ".join(step["does"]) for step in inner if step["id"] in ("branch", "verify", "cutover", "prove", "fence")
        ]
    elif not plan["already_done"]["done"]:
        does.append("Verifies the branch: connects, runs the checks, takes its manifest.")
    if plan["old"] and not plan["already_done"]["done"]:
        ends = "Moves the old primary's schedule of snapshots, if it has one, to the new one."
        does.append(
            ends if plan["branch"]["is_root"] else "Ends the old primary's schedule of snapshots, if it has one."
        )
        if plan["default"]:
            does.append(f"The same for {plan['default']['name']}, which is the default branch until then.")
    does += [move["does"] for move in plan["moves"]]
    if plan["backup"]["needed"]:
        does.append("Makes and verifies the first backup of the new primary.")
    if not does:
        return ["steps:         none, it is done"]
    shown = ["steps:"]
    for number, text in enumerate(does, start=1):
        shown += wrapped(f"{number}. {text}", "   ")
    return shown


def _after(plan: Mapping[str, Any]) -> list[str]:
    shown: list[str] = []
    for title, key in (("branches now:", "tree_before"), ("branches afterwards:", "tree_after")):
        shown.append(title)
        for row in plan[key]:
            flags = [word for word in ("default", "protected") if row[word]]
            marks = ", ".join([*flags, *row["marks"]])
            indent = "  " * min(row["depth"] + 1, 18)
            shown += wrapped(f"{row['name']}{f' ({marks})' if marks else ''}", f"{indent}  ", indent)
    counted = plan["slots"]["branches"]
    limit = "" if counted["limit"] is None else f" of {counted['limit']}"
    backup = ", and one more with the backup" if plan["backup"]["needed"] else ""
    shown += _field("slots", f"{counted['used'] + counted['adds']}{limit} branches afterwards{backup}")
    return shown + _listed(
        "Cannot be deleted afterwards", [f"{item['name']}: {item['why']}" for item in plan["staying"]]
    )
