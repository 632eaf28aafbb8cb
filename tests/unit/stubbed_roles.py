# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of roles, run by ansible-playbook with modules that only note how they were called and answer as told.

So a story can begin where a real run comes only after minutes, and with answers that no sandbox gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.rewind.database.tests.unit.both_ways import BothWays, Played

Json = dict[str, Any]
CLONE = Path(__file__).resolve().parents[2]

_STUB = '''
import json, os
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        module, args = self._task.action.rpartition(".")[2], dict(self._task.args)
        with open(os.environ["STUB_CALLS"], "a") as file:
            file.write(json.dumps({"module": module, "args": args}, default=str) + "\\n")
        with open(os.environ["STUB_ANSWERS"]) as file:
            answers = json.load(file)
        step = (args.get("journal") or {}).get("step") or args.get("action")
        return {"changed": False, **answers.get(f"{module} {step}", answers.get(module, {}))}
'''


class StubbedRoles:
    """The collection's roles and filters, over stubs of its modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[Json] = []
        self.answers: dict[str, Json] = {}
        """By "module step", with the step of the journal or the action, or by the module alone."""
        tree = folder / "collections" / "ansible_collections" / "rewind" / "database"
        (tree / "plugins" / "action").mkdir(parents=True)
        for name in ("meta", "roles", "galaxy.yml"):
            (tree / name).symlink_to(CLONE / name)
        for name in ("doc_fragments", "filter", "module_utils", "modules", "plugin_utils"):
            (tree / "plugins" / name).symlink_to(CLONE / "plugins" / name)
        for module in (CLONE / "plugins" / "modules").glob("*.py"):
            (tree / "plugins" / "action" / module.name).write_text(_STUB)

    def fail(self, key: str, code: str, msg: str = "it went wrong") -> None:
        """Have a module fail with this code."""
        self.answers[key] = {"failed": True, "msg": msg, "error": {"code": code}}

    def play(self, role: str, part: str, variables: Mapping[str, Any], then: tuple[Json, ...] = ()) -> Played:
        """Run a part of a role, and tasks after it, whatever became of it.

        :param then: their results are in the answer by their names.
        """
        answers, calls = self.folder / "answers.json", self.folder / "calls.jsonl"
        answers.write_text(json.dumps(self.answers))
        calls.write_text("")
        include = {
            "name": "the part",
            "ansible.builtin.include_role": {"name": f"rewind.database.{role}", "tasks_from": part, "public": True},
        }
        tasks: list[Json] = [{"name": "all", "block": [include], **({"always": list(then)} if then else {})}]
        played = BothWays(self.folder).play(
            tasks,
            play={"vars": dict(variables)},
            environment={
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
                "STUB_ANSWERS": str(answers),
                "STUB_CALLS": str(calls),
            },
        )
        self.calls = [json.loads(line) for line in calls.read_text().splitlines()]
        return played

    def called(self, module: str, **wanted: Any) -> list[Json]:
        """The arguments of the calls of a module that have these among them."""
        found = [call["args"] for call in self.calls if call["module"] == module]
        return [args for args in found if all(args.get(name) == value for name, value in wanted.items())]

    def order(self) -> list[str]:
        """The calls in their order, each as "module step" or "module action"."""
        return [
            f"{call['module']} {(call['args'].get('journal') or {}).get('step') or call['args'].get('action') or ''}"
            for call in self.calls
        ]


def show(name: str, expression: str) -> Json:
    """A task that shows what an expression is."""
    return {"name": name, "ansible.builtin.debug": {"msg": f"{{{{ {expression} }}}}"}}
