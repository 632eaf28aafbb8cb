# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit's lines about env rows: whether they can be read and written, are deployed, and who else has such rows."""

from __future__ import annotations

from .audit_parts import FAILED, OK, UNKNOWN, WARN, Finding, Line, State, World, names_of, plainly, states
from .instants import instant_or_none
from .primary import locate, rows_on, unreadable_rows
from .request import describe


def _applied(world: World) -> Finding:
    primary = world.known_primary
    last = world.facts.last_finished
    changed = primary.row_changed_at
    began = instant_or_none((last or {}).get("created_at"))
    if changed is None or began is None:
        what = "when the row was changed" if changed is None else "when the last deployment began"
        return Finding(UNKNOWN, f"unknown: Coolify does not say {what}")
    if changed > began:
        found = f"the row was changed at {describe(changed)}, the last deployment began at {describe(began)}"
        return Finding("pending", found)
    return Finding("applied", f"deployed at {describe(began)}, after the last change of the row")


def _readable(world: World) -> Finding:
    hidden = unreadable_rows(world.facts)
    own = [row for row in hidden if row.get("key") == world.request.env_key and not row.get("is_preview")]
    if own:
        why = "locked" if own[0].get("is_shown_once") else "hidden from this token"
        return Finding("locked" if own[0].get("is_shown_once") else "hidden_own", f"{world.request.env_key} is {why}")
    if hidden:
        keys = list(dict.fromkeys(str(row.get("key")) for row in hidden))
        return Finding("hidden", f"{len(keys)} cannot be read: {names_of(keys)}", {"keys": names_of(keys)})
    return Finding("readable", f"all {len(world.facts.rows)} can be read")


def _single(world: World) -> Finding:
    branch_id = world.primary.branch_id if world.primary else ""
    concerned = {str(row.get("key")) for row in rows_on(world.facts, branch_id)} | {world.request.env_key}
    slots: dict[tuple[str, bool], int] = {}
    for row in world.facts.rows:
        slot = (str(row.get("key")), bool(row.get("is_preview")))
        slots[slot] = slots.get(slot, 0) + 1
    flagged = {(str(row.get("key")), bool(row.get("is_preview"))) for row in world.facts.rows if row.get("duplicate")}
    doubled = sorted(
        {key for (key, _preview), count in slots.items() if count > 1} | {key for key, _preview in flagged}
    )
    bad = [key for key in doubled if key in concerned]
    if bad:
        return Finding("duplicate", f"more than one row of {names_of(bad)}", {"keys": names_of(bad)})
    if doubled:
        return Finding("others", f"more than one row of {names_of(doubled)}", {"keys": names_of(doubled)})
    return Finding("single", "every key is there once")


def _rebuild(world: World) -> Finding:
    primary = world.known_primary
    rows = rows_on(world.facts, primary.branch_id)
    building = sorted({str(row.get("key")) for row in rows if row.get("is_buildtime")})
    if building:
        return Finding("rebuilds", f"build-time variables: {names_of(building)}", {"keys": names_of(building)})
    return Finding("runtime", f"{len(rows)} {'row points' if len(rows) == 1 else 'rows point'} to the primary, none is")


def _consumers(world: World) -> Finding:
    primary = world.known_primary
    facts = world.facts
    own_rows = {row.get("uuid") for row in facts.rows}
    others: list[str] = []
    for item in facts.consumers:
        address = locate(facts, item)
        if address is None or address.branch_id != primary.branch_id:
            continue
        if item.get("env_uuid") in own_rows or item.get("uuid") == facts.application.get("uuid"):
            continue
        if not {str(item.get("name")), str(item.get("uuid"))} & world.limits.ignore_consumers:
            others.append(f"{item.get('kind') or 'application'} {item.get('name')} ({item.get('key')})")
    if others:
        return Finding("others", f"the primary is also used by {names_of(others)}")
    unread = [
        str(item.get("name") or item.get("uuid"))
        for item in facts.unreadable
        if item.get("uuid") != facts.application.get("uuid")
        and not {str(item.get("name")), str(item.get("uuid"))} & world.limits.ignore_consumers
    ]
    if unread:
        return Finding("unreadable", f"what these use cannot be read: {names_of(unread)}")
    return Finding("alone", "nothing else uses the primary")


LINES = (
    Line(
        "env_applied",
        "Environment applied",
        ("primary", "deployments"),
        plainly("deployed since the row was changed"),
        _applied,
        states(
            WARN,
            applied=State(OK),
            pending=State(WARN, "The container may still use the old value: deploy, or put the old value back."),
        ),
    ),
    Line(
        "env_readable",
        "Env rows readable",
        ("application",),
        plainly("every row can be read"),
        _readable,
        states(
            FAILED,
            readable=State(OK),
            hidden=State(WARN, "They may point to the primary unseen: create {keys} again unlocked, or check by hand."),
            locked=State(FAILED, "Delete the row in Coolify and create it again unlocked, with the same value."),
            hidden_own=State(FAILED, "Give the token read:sensitive."),
        ),
    ),
    Line(
        "env_single",
        "Env rows single",
        ("branches", "application"),
        plainly("one row per key"),
        _single,
        states(
            FAILED,
            single=State(OK),
            others=State(WARN, "Delete all rows of {keys} but the right one in Coolify."),
            duplicate=State(
                FAILED, "Coolify would change one and run another: delete all rows of {keys} but the right one."
            ),
        ),
    ),
    Line(
        "env_rebuild",
        "Rebuild on change",
        ("primary",),
        plainly("changing the connection string needs no build"),
        _rebuild,
        states(
            WARN,
            runtime=State(OK),
            rebuilds=State(WARN, "Untick the build-time flag of {keys} in Coolify: a cutover then needs no build."),
        ),
    ),
    Line(
        "consumers",
        "Other consumers",
        ("primary", "consumers"),
        plainly("none, or named in rewind_ignore_consumers"),
        _consumers,
        states(
            WARN,
            alone=State(OK),
            others=State(WARN, "A restore asks about each: decide now, or name it in rewind_ignore_consumers."),
            unreadable=State(WARN, "See whether they use it; name those that do not in rewind_ignore_consumers."),
        ),
    ),
)
