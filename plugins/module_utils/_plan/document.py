# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a file: what it holds, and what a restore takes from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from .._errors import InvalidInput, Refused
from .bound import is_whole

# Another shape or meaning of the file is another number: an older collection refuses what it would misread.
FORMAT = 1
# What a restore is asked for, each with what counts as not said.
INPUTS: Mapping[str, Any] = {
    "point_in_time": "",
    "lsn": "",
    "backup": "",
    "cutover": "auto",
    "source_branch": "",
    "deploy_commit": "",
    "accept_schema_mismatch": False,
    "accept_downtime": False,
    "allow_unprotect": False,
    "also_repoint": [],
    "ignore_consumers": [],
    "fence_writes_before_cutover": True,
    "require_health_check": True,
    "again": False,
}
_AGAIN = "Make one with playbooks/plan.yml -e out=<file>."


def document(plan: Mapping[str, Any], asked: Mapping[str, Any], state_mark: str) -> dict[str, Any]:
    """The file of a plan. What was said relative to now, or as `latest`, is absolute in it (rule 22).

    :param plan: with its comparison, without problems.
    :param asked: what the plan was asked for, by the names of `INPUTS`.
    :param state_mark: tells the state directory apart whose key its hashes are made with.
    """
    point = plan["restore_point"]
    inputs = {name: asked.get(name, unsaid) for name, unsaid in INPUTS.items()}
    inputs |= {"point_in_time": "", "lsn": "", "backup": "", "cutover": plan["strategy"]["chosen"]}
    if point.get("backup"):
        inputs["backup"] = point["backup"]
    elif point.get("utc"):
        inputs["point_in_time"] = point["utc"]
    else:
        inputs["lsn"] = point["lsn"]
    return {
        "rewind_plan": FORMAT,
        "target": plan["target"],
        "environment": plan["environment"],
        "made_at": plan["now"],
        "state_mark": state_mark,
        "inputs": inputs,
        "bound_to": plan["bound_to"],
        "not_restored": plan["not_restored"],
        "comparison": plan["comparison"],
    }


def read_document(text: str, name: str, target: str, state_mark: str) -> dict[str, Any]:
    """What the file of a plan holds.

    :param name: of the file, for messages.
    :raises InvalidInput: when it is no plan, or one of another version.
    :raises Refused: when it is another target's, or its hashes were made with another state directory's key.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "rewind_plan" not in found:
        raise InvalidInput(f"read the plan {name}: it is not the file of a plan", hint=_AGAIN)
    if found["rewind_plan"] != FORMAT:
        raise InvalidInput(
            f"read the plan {name}: it is of version {found['rewind_plan']}, and this collection reads {FORMAT}",
            hint=f"Make it anew with this version of the collection. {_AGAIN}",
        )
    inputs = found.get("inputs")
    if not is_whole(found.get("bound_to")) or not isinstance(inputs, dict) or set(inputs) != set(INPUTS):
        raise InvalidInput(f"read the plan {name}: parts of it are missing", hint=_AGAIN)
    if found.get("target") != target:
        raise Refused(
            f"use the plan {name}: it was made for the target {found.get('target')}, not for {target}",
            hint=f"Name that target, or make one for {target}: playbooks/plan.yml -e target={target} -e out=<file>",
        )
    if found.get("state_mark") != state_mark:
        raise Refused(
            f"use the plan {name}: it was made with another state directory, so that its hashes cannot be compared",
            hint="Set rewind_state_dir to the one that it was made with, or make the plan again.",
        )
    return found


def check_said(said: Mapping[str, Any], inputs: Mapping[str, Any], name: str, explicit: Collection[str] = ()) -> None:
    """What was said beside a plan must be what the plan says.

    :param said: by the names of `INPUTS`; what is as `INPUTS` has it counts as not said.
    :param explicit: the names of those that were said, also where it is what `INPUTS` has.
    :raises InvalidInput: when something differs; the message has all of it.
    """
    other = [
        f"{key}={_shown(said[key])} (the plan: {_shown(inputs[key]) or 'nothing'})"
        for key, unsaid in INPUTS.items()
        if said.get(key, unsaid) != inputs[key] and (key in explicit or said.get(key, unsaid) != unsaid)
    ]
    if other:
        raise InvalidInput(
            f"use the plan {name}: beside it was said {', '.join(other)}",
            hint="Leave these out, or make another plan with them.",
        )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
