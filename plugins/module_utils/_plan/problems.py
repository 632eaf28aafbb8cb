# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way on Neon's side: the window, slots, protection, lineage, operations. Each says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._time import duration
from .application import check_application
from .lineage import Node, blockers
from .obstacles import in_place_obstacles, snapshot_obstacles
from .primary import in_use, rows_on
from .request import Findings, describe, slots
from .source import Source
from .strategies import SLOT_WORDS, Case, no_room, window_start, window_start_after

# Neon starts these by itself; they end in seconds and are waited out.
BACKGROUND = frozenset({"check_availability", "suspend_compute", "start_compute", "start_reserved_compute"})


def check(case: Case, strategy: str, findings: Findings) -> None:
    """Find every problem of carrying out this strategy; none of them stops the search for the others."""
    source = case.source if strategy == "repoint" else case.in_place_source
    _window(case, strategy, source, findings)
    _slots(case, strategy, findings)
    _expiry(case, source, findings)
    _operations(case, findings)
    _states(case, source, findings)
    _allowlist(case, strategy, findings)
    _passwords(case, strategy, source, findings)
    _other_targets(case, findings)
    _not_hashed(case, findings)
    if strategy == "in_place":
        _in_place(case, source, findings)
    elif strategy == "snapshot":
        _snapshot(case, findings)
    else:
        _repoint(case, source, findings)
    check_application(case, strategy, findings)


def _window(case: Case, strategy: str, source: Source, findings: Findings) -> None:
    """Rule 4: the window slides while the restore point is verified and confirmed."""
    made = _preserved(case) if strategy == "in_place" else case.names.of(strategy).existing
    if made is not None or (source.at is None and source.lsn is None):
        return
    start, at = window_start(case.request, case.facts), case.point.at
    if start is None or at is None:
        what = "this project's history window" if start is None else "at which instant the LSN lies"
        findings.warn(f"It is not known {what}; Neon refuses the branch when the point is out of reach.")
        return
    if at < start:
        findings.problem(
            "before_window",
            f"The restore point {describe(at)} lies before the history window, which begins at {describe(start)}.",
            "Choose a later point, or restore from a backup that is old enough (-e backup=<name>).",
        )
        return
    later = window_start_after(case.request, case.facts, case.request.margin)
    if later is not None and at < later:
        left = (at - start).total_seconds()
        findings.problem(
            "window_slides",
            f"The restore point {describe(at)} leaves the history window in {duration(left)}, and verification, "
            f"confirmation and the deadline may take {duration(case.request.margin)}.",
            "Lengthen the project's history window, choose a later point, or shorten these times (verify_seconds, "
            "confirm_seconds, cutover_deadline).",
        )


def _preserved(case: Case) -> Node | None:
    """The branch that the run being continued preserved: its restore in place has happened."""
    return case.facts.tree.named(case.names.rollback) if case.resumed else None


def _slots(case: Case, strategy: str, findings: Findings) -> None:
    """Rule 7. A restore in place needs one slot at a time: its preview is gone before the old state is preserved."""
    for kind, item in no_room(case, strategy).items():
        words = SLOT_WORDS[kind]
        findings.problem(
            "no_root_slot" if kind == "roots" else "no_slot",
            f"The project has {item['used']} of {item['limit']} {words}, and this restore adds {item['adds']}.",
            f"Delete {words} that are no longer needed{_could_go(case, roots=kind == 'roots')}, or raise the plan.",
        )


def _could_go(case: Case, *, roots: bool) -> str:
    """A few branches that nothing holds, oldest first; which of them is dispensable only a person knows."""
    kept = in_use(case.facts) | {case.primary.branch_id, case.source.branch_id}
    tree = case.facts.tree
    names = [
        node.name
        for _depth, node in tree.rows()
        if not blockers(tree, node.id, in_use=kept)
        and (not roots or node.parent_id is None)
        and not (case.facts.branch_facts.get(node.id) or {}).get("pinned")
    ]
    return f" (nothing uses {', '.join(names[:5])})" if names else ""


def _expiry(case: Case, source: Source, findings: Findings) -> None:
    """An expiring branch can have no children. We clear the expiry of what is ours or in use, and of nothing else."""
    node = case.facts.tree.nodes[source.branch_id]
    ours = case.facts.is_ours(node.id) or node.id == case.primary.branch_id
    if node.expires_at is None or ours:
        return
    findings.problem(
        "source_expires",
        f"The source {node.name} expires at {describe(node.expires_at)}; Neon makes no branch from an expiring one, "
        "and this collection did not set that date.",
        f"Clear the expiry of {node.name} in the Neon console, then run this again.",
    )


def _operations(case: Case, findings: Findings) -> None:
    for operation in case.facts.project.get("running_operations") or ():
        known: Mapping[str, Any] = operation if isinstance(operation, Mapping) else {"action": str(operation)}
        action = str(known.get("action") or "unknown")
        if action in BACKGROUND:
            continue
        where = known.get("branch_id") or "this project"
        text = f"Neon is carrying out {action} on {where} ({known.get('id', 'no id')})"
        if case.resumed:
            findings.warn(f"{text}; it is waited for.")
        else:
            findings.problem(
                "operations_running",
                f"{text}: somebody else is changing this project.",
                "Wait until it has ended and run this again.",
            )


def _states(case: Case, source: Source, findings: Findings) -> None:
    for branch_id in dict.fromkeys((case.primary.branch_id, source.branch_id)):
        state = case.facts.by_id[branch_id].get("current_state")
        name = case.facts.tree.nodes[branch_id].name
        if state in ("init", "resetting") and not case.resumed:
            findings.problem(
                "branch_not_ready",
                f"The branch {name} is in state {state}.",
                "Wait until Neon shows it as ready and run this again.",
            )
        elif state == "archived":
            findings.warn(f"The branch {name} is archived; reading it takes longer than usual.")
    if case.is_disabled:
        compute = case.primary.address.endpoint.get("id")
        findings.problem(
            "compute_disabled",
            f"The compute {compute} of the primary {case.node.name} is disabled: the application has no database now, "
            "and nothing of a restore could be proven or taken back.",
            f"Enable {compute} in Neon first (rewind.database.neon_endpoint with disabled: false, or the console). "
            "Where the fence of an earlier restore has disabled it, take that restore back: ansible-playbook "
            f"playbooks/undo.yml -e target={case.request.target}",
        )
    if case.node.expires_at is not None:
        findings.warn(f"The primary {case.node.name} has an expiry ({describe(case.node.expires_at)}); it is cleared.")


def _allowlist(case: Case, strategy: str, findings: Findings) -> None:
    project = case.facts.project
    if strategy == "repoint" and project.get("protected_branches_only") and project.get("allowed_ips"):
        findings.warn(
            "The project's IP allow list covers protected branches only; the new branch is open to every address until "
            "it is protected."
        )


def _passwords(case: Case, strategy: str, source: Source, findings: Findings) -> None:
    """Rule 5: the old string must be rebuilt for an undo, and the new one needs passwords that Neon can reveal."""
    if case.facts.project.get("store_passwords") is not False:
        return
    turn_on = "Turn on the project's setting that stores passwords"
    if strategy == "repoint" and case.facts.tree.nodes[source.branch_id].protected:
        findings.problem(
            "passwords_not_stored",
            "The project does not store passwords, so the new branch gets new passwords, which nobody could read.",
            f"{turn_on}.",
        )
        return
    unknown = [row for row in rows_on(case.facts, case.primary.branch_id) if not row.get("supplied")]
    if unknown:
        keys = ", ".join(f"{row.get('key')}{' (preview)' if row.get('is_preview') else ''}" for row in unknown)
        # One variable holds one string: that of the row which says where the primary is.
        can_supply = all(row is case.primary.row for row in unknown)
        supply = (
            f", or supply the present string in the environment: export {case.request.old_connection_env}="
            "<connection string>"
        )
        findings.problem(
            "passwords_not_stored",
            f"The project does not store passwords, so an undo could not rebuild the string in {keys}.",
            f"{turn_on}{supply if can_supply else ''}.",
        )


def _check_commit(case: Case, what: str, findings: Findings) -> None:
    if case.request.deploy_commit:
        findings.problem(
            "commit_needs_deployment",
            f"deploy_commit was given, and {what} deploys nothing.",
            "Use cutover=repoint, or leave deploy_commit out.",
        )


def _in_place(case: Case, source: Source, findings: Findings) -> None:
    if _preserved(case) is not None:
        return
    _check_commit(case, "a restore in place", findings)
    for code, message, what_to_do in in_place_obstacles(case):
        findings.problem(code, message, what_to_do)
    if case.node.protected and not case.request.allow_unprotect:
        findings.problem(
            "protected",
            f"The primary {case.node.name} is protected, and a protected branch cannot be restored in place.",
            "Allow it with allow_unprotect=true (it is protected again on every way out), or use cutover=repoint.",
        )
    findings.warn(
        "A restore in place has no write fence: the application writes until its connections drop, and what it writes "
        f"after the final loss was measured stands only in {case.names.rollback}."
    )
    children = case.facts.tree.children(case.node.id)
    if children:
        names = ", ".join(child.name for child in children)
        findings.warn(
            f"These children of {case.node.name} move to {case.names.rollback}: {names}. "
            f"{case.names.rollback} cannot be deleted before them."
        )
    if source.branch_id != case.primary.branch_id:
        findings.warn(
            f"The primary {case.node.name} ends as a child of {source.name}: {source.name} can then never be deleted, "
            "and the primary never be restored in place again."
        )
        parent = case.facts.tree.parent(source.branch_id)
        if parent is not None and (source.at is not None or source.lsn is not None):
            findings.problem(
                "source_not_root",
                f"The source {source.name} is a child of {parent.name}; Neon restores a past instant only from a root.",
                "Use cutover=repoint.",
            )


def _snapshot(case: Case, findings: Findings) -> None:
    if case.is_finalized:
        return
    _check_commit(case, "a snapshot that takes the primary's place", findings)
    for code, message, what_to_do in snapshot_obstacles(case):
        findings.problem(code, message, what_to_do)
    roots = slots(case.facts, {"branches": 2, "roots": 2})["roots"]
    # Its own root, once made, has been counted before.
    if roots["free"] is not None and roots["free"] == 1 and case.names.root.existing is None:
        findings.problem(
            "no_undo_slot",
            f"The project has {roots['used']} of {roots['limit']} root branches: this restore takes the last one, and "
            "an undo of it needs one more.",
            f"Delete root branches that are no longer needed{_could_go(case, roots=True)}, or raise the plan.",
        )
    name, rollback = case.node.name, case.names.rollback
    findings.warn(
        f"The branch that takes the place of {name} has another id: what names that branch by its id has to follow, "
        "and a schedule of snapshots has to be set anew."
    )
    findings.warn(
        f"No restore in place works on {name} afterwards, for it comes from a snapshot; a repoint does, and another "
        "snapshot."
    )
    findings.warn(
        "A snapshot has no write fence: the application writes until its connections drop, and what it writes after "
        f"the final loss was measured stands only in {rollback}."
    )
    findings.warn("Snapshots are beta on Neon.")
    children = case.facts.tree.children(case.node.id)
    if children:
        names = ", ".join(child.name for child in children)
        findings.warn(f"These children of {name} stay with {rollback}: {names}. It cannot be deleted before them.")
    if case.facts.snapshots is None:
        findings.warn("The project's snapshots could not be read; Neon refuses one that its plan does not allow.")


def _repoint(case: Case, source: Source, findings: Findings) -> None:
    if source.branch_id != case.names.branch.id:
        findings.warn(
            f"{source.name} stays the parent of {case.names.branch.name} and cannot be deleted as long as that exists."
        )
    if case.node.parent_id is None:
        findings.warn(
            f"{case.names.branch.name} is a child: the primary can then no longer be restored in place or from a "
            "snapshot."
        )
    if case.node.default:
        findings.warn(
            f"{case.names.branch.name} is not the default branch; on some plans such a branch has a tighter compute "
            "quota."
        )
    if case.facts.by_id[source.branch_id].get("restore_status") in ("restored", "detaching"):
        findings.warn(f"{source.name} comes from a restore that is still going on; Neon may refuse an earlier instant.")


def _not_hashed(case: Case, findings: Findings) -> None:
    """Rule 19: an undo by itself needs to know that nothing was written, which counts alone do not say."""
    if not case.request.hashes:
        findings.warn(
            "Tables are counted, not hashed (restore_hash=false), so a changed row does not show: a cutover that is not"
            " proven is then held for a person to decide once the application may have used it, and not taken back by "
            "itself."
        )


def _other_targets(case: Case, findings: Findings) -> None:
    """Two targets on one application or one primary would cut over under each other (also safety rule 9)."""
    mine = {str(case.primary.branch_id), *(str(e.get("host")) for e in case.branch.get("endpoints") or ())}
    for other in case.facts.other_targets:
        name = str(other.get("target") or "another target")
        if name == case.request.target:
            continue
        same_application = other.get("application") and other["application"] == case.facts.application.get("uuid")
        same_key = (other.get("env_key") or case.request.env_key) == case.request.env_key
        same_primary = str(other.get("primary_branch_id") or other.get("host") or "") in mine
        if (same_application and same_key) or same_primary:
            shared = "application" if same_application else "primary"
            findings.problem(
                "targets_share",
                f"The target {name} has the same {shared} as {case.request.target}: one restore would change both.",
                f"Keep one of the two in the inventory, or point {name} to its own {shared}.",
            )
        elif other.get("project") and other["project"] == case.facts.project.get("id"):
            findings.warn(
                f"The target {name} ({other.get('environment') or 'production'}) has its database in the same Neon "
                "project: its branches and slots are counted here too, and nothing of it is changed."
            )
