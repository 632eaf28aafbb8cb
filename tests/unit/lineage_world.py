# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Neon project of the sandbox and the rules' own tree of it, side by side: every operation is asked of both.

The project keeps metadata only: no compute starts, so that hundreds of histories take seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._plan.flags import (
    with_default,
    with_expiry,
    with_name,
    with_protection,
)
from ansible_collections.rewind.database.plugins.module_utils._plan.lineage import (
    Limits,
    LineageError,
    Node,
    Snapshot,
    Tree,
    deletion_order,
    with_child,
    with_detached,
    without,
)
from ansible_collections.rewind.database.plugins.module_utils._plan.restores import with_restore
from ansible_collections.rewind.database.plugins.module_utils._plan.snapshots import (
    with_finalized_snapshot,
    with_restored_snapshot,
    with_snapshot,
    without_snapshot,
)

from sandbox.clock import rfc3339
from sandbox.neon.limits import PLANS
from tests.sandbox.neon_account import Account

Json = dict[str, Any]
# What is not made yet has this id in the rules' tree, until the API has given it one.
MADE = "made"


@dataclass(frozen=True)
class Move:
    """One operation to be tried. The numbers choose among what there is then, so that any sequence has a meaning."""

    kind: str
    first: int
    second: int
    name: int


class Refusal(AssertionError):
    """The rules and the API do not agree."""


class World:
    """One project, as the API shows it and as the rules say that it is."""

    def __init__(self, account: Account, plan: str) -> None:
        self.account = account
        made = account.run(account.service.create_project(plan=plan))
        self.id: str = made["project_id"]
        self.client = account.client()
        self.tree = Tree()
        self.accepted = self.refused = 0
        self._number = 0
        limits = PLANS[plan]
        self.tree = replace(
            self.listed(),
            limits=Limits(limits.branches, limits.roots, limits.protected, limits.snapshots),
        )

    # What the API shows

    def listed(self) -> Tree:
        """The tree as the API shows it. What it does not tell is taken from the rules' tree."""
        branches = self.client.ok("GET", self.path("/branches"), limit=10000)["branches"]
        computes = self.client.ok("GET", self.path("/endpoints"))["endpoints"]
        snapshots = self.client.ok("GET", self.path("/snapshots"))["snapshots"]
        for branch in branches:
            branch["endpoints"] = [item for item in computes if item["branch_id"] == branch["id"]]
        found = Tree.of(branches, snapshots=snapshots, limits=self.tree.limits)
        hidden = self.tree.nodes
        return found.but(
            *(
                replace(node, detaching=hidden[node.id].detaching, replaces=hidden[node.id].replaces)
                for node in found.nodes.values()
                if node.id in hidden
            )
        )

    def path(self, rest: str) -> str:
        return f"/projects/{self.id}{rest}"

    @property
    def now(self) -> datetime:
        return self.account.world.clock.now()

    def branch(self, number: int) -> Node:
        """One of the branches that there are, oldest first."""
        nodes = list(self.tree.nodes.values())
        return nodes[number % len(nodes)]

    def snapshot(self, number: int) -> Snapshot | None:
        found = list(self.tree.snapshots.values())
        return found[number % len(found)] if found else None

    def new_name(self, number: int) -> str:
        """Mostly a name that nobody has, and now and then one that somebody has."""
        self._number += 1
        return self.branch(number).name if number % 5 == 0 else f"branch-{self._number}"

    # Asking both

    def ask(
        self,
        method: str,
        rest: str,
        body: Json | None,
        predict: Callable[[], Tree],
        made: Callable[[Json], str] | None = None,
        **query: Any,
    ) -> bool:
        """Send a request, and see that the rules said what became of it. Returns whether it was accepted.

        :param made: finds the id of the new object in the answer.
        """
        try:
            predicted, reason = predict(), ""
        except LineageError as error:
            predicted, reason = self.tree, str(error)
        answer = self.client.request(method, self.path(rest), body, **query)
        told = f"{method} {rest} {body}: {answer.status_code} {answer.text}; the rules: {reason or 'accepted'}"
        if answer.is_success is bool(reason):
            raise Refusal(told)
        self.refused += bool(reason)
        self.accepted += not reason
        service = self.account.service
        self.account.run(service.operations.settled(service.state.project(self.id)))
        if made is not None and not reason:
            predicted = with_id(predicted, made(answer.json()))
        self.tree = predicted
        self.agree(told)
        return not reason

    def agree(self, told: str) -> None:
        """The API's tree is the rules' tree."""
        expected, found = view(self.tree), view(self.listed())
        if expected != found:
            differing = {key: (expected.get(key), found.get(key)) for key in {*expected, *found}}
            wrong = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
            raise Refusal(f"{told}; (expected, found): {wrong}")

    # The operations

    def play(self, move: Move) -> None:
        """Try one operation."""
        getattr(self, f"do_{move.kind}")(move)

    def do_child(self, move: Move, **more: Any) -> None:
        parent, name = self.branch(move.first), self.new_name(move.name)
        node = Node(MADE, name, created_at=self.now, protected=more.get("protected", False))
        if "expires_at" in more:
            node = replace(node, expires_at=self.now)
        body = {"branch": {"name": name, "parent_id": parent.id, **more}}
        self.ask("POST", "/branches", body, lambda: with_child(self.tree, parent.id, node), new_branch)

    def do_protected_child(self, move: Move) -> None:
        self.do_child(move, protected=True)

    def do_expiring_child(self, move: Move) -> None:
        self.do_child(move, expires_at=self.later(move.second))

    def later(self, number: int) -> str:
        """An instant within what is allowed."""
        return rfc3339((self.now + timedelta(hours=1 + number)).replace(microsecond=0))

    def do_delete(self, move: Move) -> None:
        branch = self.branch(move.first)
        self.ask("DELETE", f"/branches/{branch.id}", None, lambda: without(self.tree, branch.id))

    def do_rename(self, move: Move) -> None:
        branch, name = self.branch(move.first), self.new_name(move.name)
        self._patch(branch, {"name": name}, lambda: with_name(self.tree, branch.id, name))

    def do_default(self, move: Move) -> None:
        branch = self.branch(move.first)
        self.ask("POST", f"/branches/{branch.id}/set_as_default", None, lambda: with_default(self.tree, branch.id))

    def do_protect(self, move: Move) -> None:
        branch = self.branch(move.first)
        self._patch(branch, {"protected": True}, lambda: with_protection(self.tree, branch.id, True))

    def do_unprotect(self, move: Move) -> None:
        branch = self.branch(move.first)
        self._patch(branch, {"protected": False}, lambda: with_protection(self.tree, branch.id, False))

    def do_expire(self, move: Move) -> None:
        branch, now = self.branch(move.first), self.now
        ahead = (timedelta(days=1), timedelta(days=29), timedelta(days=31), timedelta(days=-1))[move.second % 4]
        at = (now + ahead).replace(microsecond=0)
        changes = {"expires_at": rfc3339(at)}
        self._patch(branch, changes, lambda: with_expiry(self.tree, branch.id, at, now=now))

    def do_keep(self, move: Move) -> None:
        branch = self.branch(move.first)
        self._patch(branch, {"expires_at": None}, lambda: with_expiry(self.tree, branch.id, None, now=self.now))

    def _patch(self, branch: Node, changes: Json, predict: Callable[[], Tree]) -> None:
        self.ask("PATCH", f"/branches/{branch.id}", {"branch": changes}, predict)

    def do_restore(self, move: Move) -> None:
        """From itself, to this instant."""
        target = self.branch(move.first)
        self._restore(target, target, self.new_name(move.name), source_timestamp=rfc3339(self.now))

    def do_restore_from(self, move: Move) -> None:
        self._restore(self.branch(move.first), self.branch(move.second), self.new_name(move.name))

    def do_reset(self, move: Move) -> None:
        """Without keeping the old state."""
        self._restore(self.branch(move.first), self.branch(move.second), None)

    def _restore(self, target: Node, source: Node, name: str | None, **point: str) -> None:
        if target.id == source.id and not point:
            point = {"source_timestamp": rfc3339(self.now)}
        kept = Node(MADE, name, created_at=self.now) if name is not None else None
        body = {"source_branch_id": source.id, **point} | ({"preserve_under_name": name} if name else {})
        before = set(self.tree.nodes)

        def predict() -> Tree:
            return with_restore(self.tree, target.id, source.id, kept, detached=False, now=self.now)

        def preserved(_answer: Json) -> str:
            """The answer does not hold it: it is found by its name, as a client has to."""
            branches = self.client.ok("GET", self.path("/branches"), limit=10000)["branches"]
            return next(str(item["id"]) for item in branches if item["name"] == name and item["id"] not in before)

        path = f"/branches/{target.id}/restore"
        self.ask("POST", path, body, predict, preserved if name is not None else None)

    def do_detach(self, move: Move) -> None:
        """Neon brings to an end what it detaches in the background."""
        self.account.run(self._detach())
        self.tree = with_detached(self.tree)
        self.agree("detach")

    async def _detach(self) -> None:
        service = self.account.service
        project = service.state.project(self.id)
        for operation in project.operations.values():
            if operation["effect"] == "detach" and operation["status"] != "finished":
                commit = await service.operations.effects["detach"](project, operation)
                if commit is not None:
                    commit()

    def do_snapshot(self, move: Move) -> None:
        branch = self.branch(move.first)
        made = Snapshot(MADE, f"snapshot-{move.name}")
        path = f"/branches/{branch.id}/snapshot"

        def new_snapshot(answer: Json) -> str:
            return str(answer["snapshot"]["id"])

        self.ask("POST", path, None, lambda: with_snapshot(self.tree, branch.id, made), new_snapshot, name=made.name)

    def do_drop_snapshot(self, move: Move) -> None:
        snapshot = self.snapshot(move.first)
        snapshot_id = snapshot.id if snapshot is not None else "snap-none-at-all"
        self.ask("DELETE", f"/snapshots/{snapshot_id}", None, lambda: without_snapshot(self.tree, snapshot_id))

    def do_restore_snapshot(self, move: Move) -> None:
        snapshot = self.snapshot(move.first)
        snapshot_id = snapshot.id if snapshot is not None else "snap-none-at-all"
        target = self.branch(move.second).id if move.second % 3 else None
        name = self.new_name(move.name)
        body = {"name": name} | ({"target_branch_id": target} if target else {})

        def predict() -> Tree:
            node = Node(MADE, name, created_at=self.now)
            return with_restored_snapshot(self.tree, snapshot_id, node, target_id=target)

        self.ask("POST", f"/snapshots/{snapshot_id}/restore", body, predict, new_branch)

    def do_finalize(self, move: Move) -> None:
        """Of what was restored, where there is something, else of what was not."""
        awaiting = [node for node in self.tree.nodes.values() if node.restored_from]
        branch = awaiting[move.first % len(awaiting)] if awaiting else self.branch(move.first)
        name = self.new_name(move.name) if move.second % 2 else None

        def predict() -> Tree:
            return with_finalized_snapshot(self.tree, branch.replaces or "none", branch.id, replaced_name=name)

        body = {"name": name} if name else {}
        self.ask("POST", f"/branches/{branch.id}/finalize_restore", body, predict)

    # The end

    def clear(self) -> None:
        """Delete everything in the order that the rules give, and see that the rest really cannot be deleted."""
        deletion = deletion_order(self.tree, set(self.tree.nodes))
        for branch_id in deletion.order:
            if branch_id in deletion.waits:
                told = self.client.request("DELETE", self.path(f"/branches/{branch_id}"))
                assert told.status_code == 422 and "has children" in told.text, told.text
                self.do_detach(Move("detach", 0, 0, 0))
            accepted = self.ask(
                "DELETE", f"/branches/{branch_id}", None, functools.partial(without, self.tree, branch_id)
            )
            assert accepted, branch_id
        self.do_detach(Move("detach", 0, 0, 0))
        for branch_id in deletion.blocked:
            accepted = self.ask(
                "DELETE", f"/branches/{branch_id}", None, functools.partial(without, self.tree, branch_id)
            )
            assert not accepted, branch_id


def new_branch(answer: Json) -> str:
    """The id of the branch that an answer shows."""
    return str(answer["branch"]["id"])


def with_id(tree: Tree, made_id: str) -> Tree:
    """The tree with the id that the API gave to what was made."""

    def real(value: str | None) -> str | None:
        return made_id if value == MADE else value

    nodes = {
        str(real(node.id)): replace(node, id=str(real(node.id)), parent_id=real(node.parent_id))
        for node in tree.nodes.values()
    }
    snapshots = {str(real(item.id)): replace(item, id=str(real(item.id))) for item in tree.snapshots.values()}
    return replace(tree, nodes=nodes, snapshots=snapshots)


def view(tree: Tree) -> Mapping[str, Any]:
    """What both sides must agree on, by id."""
    branches = {
        node.id: (
            node.name,
            node.parent_id,
            node.default,
            node.protected,
            node.expires_at is not None,
            node.restored_from,
            node.restored_as,
            sorted(node.endpoints),
        )
        for node in tree.nodes.values()
    }
    snapshots = {item.id: (item.name, item.source_id, item.manual) for item in tree.snapshots.values()}
    return {**branches, **snapshots, "slots": tree.slots()}
