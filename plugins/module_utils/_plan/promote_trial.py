# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test of the application against the branch, on a staging target, before anything of production changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .drill import deletions
from .primary import Primary, locate
from .request import Facts, Findings, Request, slots
from .runs import CUTS_OVER


def trial(
    given: Mapping[str, Any] | None, request: Request, facts: Facts, primary: Primary | None, findings: Findings
) -> dict[str, Any] | None:
    """Whether the staging target can be cut over to the branch and back; None where no test was asked for.

    :param given: `target`, `environment`, `project`, `application` of the staging target, `unfinished`, its runs,
        `other_coolify`, whether its inventory names another address, and `unseen`, why it cannot be read from here.
    """
    if not given:
        return None
    _check_staging(given, request, facts, primary, findings)
    counted = slots(facts, {"branches": 1, "roots": 0})["branches"]
    if counted["free"] is not None and counted["free"] < 1:
        findings.problem(
            "no_trial_slot",
            f"The project has {counted['used']} of {counted['limit']} branches, and the test needs 1 for a while.",
            "Run playbooks/cleanup.yml, raise the plan, or leave the test out.",
        )
    return {
        "target": str(given.get("target")),
        "left": _left(given, request, facts, findings),
        **deletions(facts, {request.run} if request.run else set()),
    }


def _check_staging(
    given: Mapping[str, Any], request: Request, facts: Facts, primary: Primary | None, findings: Findings
) -> None:
    """The staging target is none of production's, and its database is a branch of the same project."""
    name = str(given.get("target"))
    if name == request.target or given.get("application") == facts.application.get("uuid"):
        findings.problem(
            "trial_is_target",
            f"The application of {name} is the one that is promoted: it cannot be tested first.",
            "Name a staging target of its own with -e test_application=.",
        )
    if given.get("environment") == "production":
        findings.problem(
            "trial_is_production",
            f"{name} is a production target: the test cuts its application over and back.",
            "Name a staging target with -e test_application=.",
        )
    _check_coolify(given, name, request, findings)
    if given.get("project") != facts.project.get("id"):
        findings.problem(
            "trial_in_other_project",
            f"{name} has its database in another Neon project, and can only be pointed to branches of its own.",
            f"Name a staging target whose database is a branch of {facts.project.get('id')}.",
        )
    elif primary is not None and primary.branch_id in _pointed_to(facts, str(given.get("application"))):
        findings.problem(
            "trial_shares",
            f"The application of {name} is on the primary itself, {facts.tree.nodes[primary.branch_id].name}.",
            "Give the staging target a branch of its own, or leave the test out.",
        )


def _check_coolify(given: Mapping[str, Any], name: str, request: Request, findings: Findings) -> None:
    """The test works with the address and the token of the target that is promoted, and with none of staging's own."""
    if given.get("other_coolify") or given.get("unseen"):
        why = str(given.get("unseen") or "its inventory names another address").strip().rstrip(".")
        findings.problem(
            "trial_other_coolify",
            f"The application of {name} cannot be reached by the Coolify address and token of {request.target}: {why}.",
            "Name a staging target that they reach with -e test_application=, or leave the test out.",
        )


def _left(given: Mapping[str, Any], request: Request, facts: Facts, findings: Findings) -> list[str]:
    """The runs of a killed test of this promotion, which are to be taken back first."""
    name = str(given.get("target"))
    left = _stands(name, request, facts)
    for run in given.get("unfinished") or ():
        run_id = str(run.get("id") or run.get("run"))
        if (run.get("inputs") or {}).get("drill") == request.run and request.run:
            left += [run_id] if run_id not in left else []
        elif str(run.get("verb") or "restore") in CUTS_OVER:
            findings.problem(
                "trial_unfinished",
                f"The run {run_id} ({run.get('verb')}) of {name} never finished.",
                f"Take it back first: ansible-playbook playbooks/undo.yml -e target={name} -e run={run_id}",
            )
    return left


def _stands(name: str, request: Request, facts: Facts) -> list[str]:
    """The cutover of a killed test that had ended, and that nothing has taken back: staging is on the copy."""
    cutovers = replace(facts, target=name).cutovers
    last = cutovers[-1] if cutovers else None
    if last is None or last.undone or not last.run or not request.run:
        return []
    return [last.run] if facts.drill_of(last.to_branch_id) == request.run else []


def _pointed_to(facts: Facts, application: str) -> set[str]:
    """The branches that an application points to."""
    mine = [item for item in facts.consumers if application in (item.get("uuid"), item.get("application"))]
    return {address.branch_id for item in mine if (address := locate(facts, item)) is not None}
