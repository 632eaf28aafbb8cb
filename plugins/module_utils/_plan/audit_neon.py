# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit's lines about Neon: the window, storage, slots, protection, expiry, the allow list, operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._time import duration
from .audit_parts import FAILED, OK, UNKNOWN, WARN, Finding, Line, State, World, names_of, plainly, size_text, states
from .primary import in_use
from .problems import BACKGROUND
from .request import describe

_FOR_ALL = "Neon (https://console.neon.tech)"


def _api(world: World) -> Finding:
    project = world.facts.project
    plan = f"{project['plan']} plan" if project.get("plan") else "plan not shown to this key"
    return Finding("read", f"API v2 answers: project {project.get('id')}, {plan}")


def _history(world: World) -> Finding:
    seconds = world.facts.project.get("history_retention_seconds")
    if seconds is None:
        return Finding(UNKNOWN, "unknown: Neon does not say how long it is")
    if float(seconds) <= 0:
        return Finding("off", "0 s: no instant can be restored")
    found = f"{duration(float(seconds))}, since {describe_window(world)}"
    wanted = {"wanted": f"{int(world.limits.history)}"}
    return Finding("enough" if float(seconds) >= world.limits.history else "short", found, wanted)


def describe_window(world: World) -> str:
    """Where the history window begins."""
    return str(world.facts.project.get("window_start") or "an unknown instant")


def _storage(world: World) -> Finding:
    """The fullest of what has a limit: the project's storage, and its largest branch."""
    storage: Mapping[str, Any] = world.facts.project.get("storage") or {}
    sizes = {
        str(item["name"]): float(item["logical_size"]) for item in world.facts.branches if item.get("logical_size")
    }
    roots = [
        item["logical_size"]
        for item in world.facts.branches
        if item.get("logical_size") and item.get("parent_id") is None
    ]
    used = storage.get("used_bytes")
    # Branches share what they have in common: their sizes do not add up, those of roots do.
    total = float(used) if used is not None else float(sum(roots)) if roots else None
    measured: list[tuple[float, str]] = []
    limit = world.limits.storage_bytes or storage.get("limit_bytes")
    if total is not None and limit:
        measured.append((100 * total / limit, f"{size_text(total)} of {size_text(limit)} in the project"))
    branch_limit = storage.get("branch_limit_bytes")
    if sizes and branch_limit:
        name = max(sizes, key=lambda item: sizes[item])
        text = f"{size_text(sizes[name])} of {size_text(branch_limit)} in the largest branch, {name}"
        measured.append((100 * sizes[name] / branch_limit, text))
    if not measured:
        what = "no limit is known" if total is not None else "no size is known"
        return Finding(UNKNOWN, f"unknown: {what}" + (f" for {size_text(total)}" if total is not None else ""))
    share, text = max(measured)
    found = f"{share:.0f} %: {text}"
    if share >= world.limits.storage_fail:
        return Finding("full", found)
    return Finding("near" if share >= world.limits.storage_warn else "room", found)


def _slot_counts(world: World, kind: str) -> tuple[int, int | None]:
    counts, now = world.facts.project.get("counts") or {}, world.facts.tree.slots()
    used = counts.get(kind)
    if used is None:
        manual = sum(1 for item in world.facts.snapshots or () if item.get("manual") is not False)
        held = {"branches": now.branches, "root_branches": now.roots, "protected_branches": now.protected}
        used = {**held, "manual_snapshots": manual}[kind]
    limit = world.limits.slots.get(kind, (world.facts.project.get("limits") or {}).get(kind))
    return int(used), None if limit is None else int(limit)


def _branch_slots(world: World) -> Finding:
    used, limit = _slot_counts(world, "branches")
    if limit is None:
        return Finding(UNKNOWN, f"unknown: {used} used, and the plan's limit is not shown to this key")
    free = limit - used
    found = f"{used} of {limit} used, {max(free, 0)} free"
    if free <= 0:
        return Finding("none", found)
    return Finding("few" if free < world.limits.free_branches else "free", found)


def _slots_of(world: World, kind: str) -> Finding:
    """Of what no operation needs more than one."""
    used, limit = _slot_counts(world, kind)
    if limit is None:
        return Finding(UNKNOWN, f"unknown: {used} used, and the plan's limit is not shown to this key")
    return Finding("free" if used < limit else "none", f"{used} of {limit} used")


def _root_slots(world: World) -> Finding:
    return _slots_of(world, "root_branches")


def _snapshot_slots(world: World) -> Finding:
    return _slots_of(world, "manual_snapshots")


def _protected_slots(world: World) -> Finding:
    if not world.limits.protected:
        used, limit = _slot_counts(world, "protected_branches")
        return Finding("not_needed", f"{used}{'' if limit is None else f' of {limit}'} used; the primary needs none")
    return _slots_of(world, "protected_branches")


def _protection(world: World) -> Finding:
    primary = world.known_primary
    node = world.facts.tree.nodes[primary.branch_id]
    name = {"branch": node.name}
    if node.protected:
        return Finding("protected", f"{node.name} is protected", name)
    if not world.limits.protected:
        return Finding("not_needed", f"{node.name} is not protected; a {world.request.environment} target need not be")
    limit = (world.facts.project.get("limits") or {}).get("protected_branches")
    if limit == 0:
        return Finding("not_possible", f"{node.name} is not protected: the plan allows no protected branch", name)
    return Finding("unprotected", f"{node.name} is not protected", name)


def _protection_kept(world: World) -> Finding:
    """Rule 9: unprotecting is taken back on every way out of a run; a repoint leaves it on the old primary."""
    primary = world.known_primary
    tree = world.facts.tree
    node = tree.nodes[primary.branch_id]
    if node.protected:
        return Finding("kept", f"{node.name} is protected", {"branch": node.name})
    for run in world.facts.unfinished:
        steps = run.get("steps") or {}
        if (steps.get("unprotect") or {}).get("phase") in ("intent", "done") and not _is_done(steps.get("protect")):
            run_id = str(run.get("id") or run.get("run"))
            found = f"the run {run_id} has unprotected {node.name} and never ended"
            return Finding("taken", found, {"branch": node.name, "run": run_id})
    if (world.facts.branch_facts.get(node.id) or {}).get("protected"):
        return Finding("lost", f"{node.name} was protected and is not any more", {"branch": node.name})
    last = world.facts.cutovers[-1] if world.facts.cutovers else None
    before = tree.get(last.from_branch_id) if last and last.to_branch_id == node.id else None
    if before is not None and before.id != node.id and before.protected:
        found = f"the old primary {before.name} is protected, {node.name} is not"
        return Finding("left_behind", found, {"branch": node.name})
    return Finding("kept", f"{node.name} never was, as far as is known", {"branch": node.name})


def _is_done(step: Any) -> bool:
    return bool(step) and step.get("phase") == "done"


def _expiry_in_use(world: World) -> Finding:
    """Rule 8: none on a branch whose host stands in any env row."""
    facts = world.facts
    used = in_use(facts)
    expiring = [node for node in facts.tree.nodes.values() if node.expires_at is not None]
    doomed = [node for node in expiring if node.id in used]
    if doomed:
        listed = [f"{node.name} ({describe(node.expires_at)})" for node in doomed]
        return Finding("expires", f"in use, and Neon will delete it: {names_of(listed)}")
    reachable = [node.name for node in expiring if facts.by_id[node.id].get("endpoints")]
    if reachable and facts.unreadable:
        found = f"{names_of(reachable)} expires and has a compute; {len(facts.unreadable)} consumers cannot be read"
        return Finding("perhaps", found)
    return Finding("none", f"{len(used)} in use, none of them expires; {len(expiring)} others do")


def _allowlist(world: World) -> Finding:
    primary = world.known_primary
    project, tree = world.facts.project, world.facts.tree
    allowed = project.get("allowed_ips")
    if allowed is None:
        return Finding(UNKNOWN, "unknown: Neon does not say")
    if not allowed:
        return Finding("open", "no allow list: every address may connect, with password and TLS")
    count = f"{len(allowed)} {'entry' if len(allowed) == 1 else 'entries'}"
    if not project.get("protected_branches_only"):
        return Finding("all", f"{count}, for all branches")
    node = tree.nodes[primary.branch_id]
    if not node.protected:
        found = f"{count} for protected branches only, and {node.name} is not protected"
        return Finding("bypassed", found, {"branch": node.name})
    gaps = [
        item.name
        for item in tree.nodes.values()
        if not item.protected and world.facts.by_id[item.id].get("endpoints") and item.id != node.id
    ]
    if gaps:
        return Finding("gaps", f"{count} for protected branches only; open to every address: {names_of(gaps)}")
    return Finding("covered", f"{count} for protected branches, and no other branch has a compute")


def _operations(world: World) -> Finding:
    running = world.facts.project.get("running_operations")
    if running is None:
        return Finding(UNKNOWN, "unknown: the operations were not read")
    busy = [str(item.get("action")) for item in running if str(item.get("action")) not in BACKGROUND]
    if busy:
        return Finding("busy", f"under way: {names_of(busy)}")
    return Finding("quiet", "none that would hold up another")


LINES = (
    Line(
        "neon_api",
        "Neon API",
        ("project",),
        plainly("the key can read the project"),
        _api,
        states(FAILED, read=State(OK)),
    ),
    Line(
        "history_window",
        "History window",
        ("project",),
        lambda world: f"at least {duration(world.limits.history)}",
        _history,
        states(
            FAILED,
            enough=State(OK),
            short=State(
                FAILED,
                "Raise the project's history window to {wanted} seconds in its settings (the plan may have to grow), "
                "or set rewind_history_days to what the target really needs.",
            ),
            off=State(FAILED, "Turn on instant restore in the project's settings: without it only backups remain."),
        ),
    ),
    Line(
        "storage",
        "Storage",
        ("project", "branches"),
        lambda world: f"below {world.limits.storage_warn:g} %",
        _storage,
        states(
            WARN,
            room=State(OK),
            near=State(WARN, "Delete branches that are no longer needed (playbooks/cleanup.yml), or raise the plan."),
            full=State(FAILED, "Delete branches that are no longer needed (playbooks/cleanup.yml), or raise the plan."),
        ),
    ),
    Line(
        "branch_slots",
        "Branch slots",
        ("project", "branches"),
        lambda world: f"at least {world.limits.free_branches} free, for a restore and its way back",
        _branch_slots,
        states(
            WARN,
            free=State(OK),
            few=State(WARN, "Delete branches that are no longer needed: playbooks/cleanup.yml."),
            none=State(
                FAILED,
                "No branch can be made: delete what is not needed (playbooks/cleanup.yml) or raise the plan.",
            ),
        ),
    ),
    Line(
        "root_slots",
        "Root branch slots",
        ("project", "branches"),
        plainly("one free, for a restore in place or from a snapshot"),
        _root_slots,
        states(
            WARN,
            free=State(OK),
            none=State(
                WARN,
                "A restore in place or from a snapshot needs one: delete an old root branch, or use cutover=repoint.",
            ),
        ),
    ),
    Line(
        "snapshot_slots",
        "Snapshot slots",
        ("project", "snapshots"),
        plainly("one free, for a restore from a snapshot"),
        _snapshot_slots,
        states(
            WARN,
            free=State(OK),
            none=State(
                WARN,
                "A restore with cutover=snapshot and option B of a promotion make one: delete one that is no longer "
                "needed (playbooks/cleanup.yml, or neon_snapshot with state: absent), or raise the plan.",
            ),
        ),
    ),
    Line(
        "protected_slots",
        "Protected slots",
        ("project", "branches"),
        plainly("one free, so that protection can move to another primary without a gap"),
        _protected_slots,
        states(
            WARN,
            free=State(OK),
            not_needed=State(OK),
            none=State(
                WARN,
                "No further branch can be protected, and a promotion leaves both primaries without for a moment: "
                "unprotect one in Neon that need not be, or raise the plan.",
            ),
        ),
    ),
    Line(
        "protection",
        "Primary protected",
        ("project", "primary"),
        lambda world: "protected" if world.limits.protected else "not needed",
        _protection,
        states(
            FAILED,
            protected=State(OK),
            not_needed=State(OK),
            not_possible=State(WARN, "Raise the plan, or say that it need not be: rewind_protected: false."),
            unprotected=State(FAILED, "Protect {branch} in Neon, or say that it need not be: rewind_protected: false."),
        ),
    ),
    Line(
        "protection_kept",
        "Protection kept",
        ("branches", "catalogue", "journals", "primary"),
        plainly("a primary that was protected still is"),
        _protection_kept,
        states(
            FAILED,
            kept=State(OK),
            taken=State(FAILED, "Take that run back: ansible-playbook playbooks/undo.yml -e run={run}"),
            lost=State(FAILED, "Protect {branch} again in Neon."),
            left_behind=State(FAILED, "Promote {branch} (playbooks/promote.yml), which moves the protection."),
        ),
    ),
    Line(
        "expiry_in_use",
        "Branches in use stay",
        ("branches", "application", "consumers"),
        plainly("no branch that something points to expires"),
        _expiry_in_use,
        states(
            FAILED,
            none=State(OK),
            perhaps=State(WARN, "See whether the consumers that cannot be read point there; clear the expiry if so."),
            expires=State(FAILED, f"Clear the expiry of that branch in {_FOR_ALL} now."),
        ),
    ),
    Line(
        "ip_allowlist",
        "IP allowlist",
        ("project", "branches", "primary"),
        plainly("none, or one that the primary is behind"),
        _allowlist,
        states(
            WARN,
            open=State(OK),
            all=State(OK),
            covered=State(OK),
            gaps=State(WARN, "Let the list hold for all branches, or delete those computes."),
            bypassed=State(FAILED, "Protect {branch}, or let the list hold for all branches."),
        ),
    ),
    Line(
        "neon_operations",
        "Neon operations",
        ("project",),
        plainly("none that holds up another"),
        _operations,
        states(
            WARN,
            quiet=State(OK),
            busy=State(WARN, "Neon refuses other changes (423) until these have ended: wait, then look again."),
        ),
    ),
)
