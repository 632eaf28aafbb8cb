# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of roles, run by ansible-playbook with modules that only note how they were called and answer as told.

So a story can begin where a real run comes only after minutes, and with answers that no sandbox gives.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.rewind.database.tests.unit.both_ways import environment_of

Json = dict[str, Any]
CLONE = Path(__file__).resolve().parents[2]

_STUB = """
import json, os
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        module, args = self._task.action.rpartition(".")[2], dict(self._task.args)
        story = os.path.join(os.environ["STORIES"], task_vars["inventory_hostname"])
        with open(story + ".calls", "a") as file:
            file.write(json.dumps({"module": module, "args": args}, default=str) + "\\n")
        with open(story + ".answers") as file:
            answers = json.load(file)
        step = (args.get("journal") or {}).get("step") or args.get("action")
        return {"changed": False, **answers.get(f"{module} {step}", answers.get(module, {}))}
"""


def failure(code: str, msg: str = "it went wrong") -> Json:
    """What a module answers that fails with this code."""
    return {"failed": True, "msg": msg, "error": {"code": code}}


@dataclass
class Story:
    """What a part of a role begins with.

    :param answers: of the modules, by "module step", with the step of the journal or the action, or by the module.
    """

    variables: Mapping[str, Any]
    answers: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Told:
    """What came of it.

    :param message: of the task that failed, on one line; empty where none did.
    :param shown: what was asked to be shown, afterwards.
    """

    message: str
    shown: Json
    calls: list[Json]

    def called(self, module: str, **wanted: Any) -> list[Json]:
        """The arguments of the calls of a module that have these among them."""
        found = [call["args"] for call in self.calls if call["module"] == module]
        return [args for args in found if all(args.get(name) == value for name, value in wanted.items())]

    def order(self) -> list[str]:
        """The calls in their order, each as "module step" or "module action"."""
        steps = [(call["args"].get("journal") or {}).get("step") or call["args"].get("action") for call in self.calls]
        return [f"{call['module']} {step or ''}".strip() for call, step in zip(self.calls, steps, strict=True)]


class StubbedRoles:
    """The collection's roles and filters, over stubs of its modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: list[str] = []
        """Of ansible-playbook, beside those that are always given: --check."""
        self.environment: dict[str, str] = {}
        """Of ansible-playbook, beside what it is always given."""
        tree = folder / "collections" / "ansible_collections" / "rewind" / "database"
        (tree / "plugins" / "action").mkdir(parents=True)
        for name in ("meta", "roles", "galaxy.yml"):
            (tree / name).symlink_to(CLONE / name)
        for name in ("doc_fragments", "filter", "module_utils", "modules", "plugin_utils"):
            (tree / "plugins" / name).symlink_to(CLONE / "plugins" / name)
        for module in (CLONE / "plugins" / "modules").glob("*.py"):
            (tree / "plugins" / "action" / module.name).write_text(_STUB)

    def tell(self, role: str, part: str, stories: Mapping[str, Story], **show: str) -> dict[str, Told]:
        """Run a part of a role for each story, all side by side.

        :param show: expressions that are looked at when the part has ended, however it did.
        """
        place = self.folder / "stories"
        place.mkdir(exist_ok=True)
        hosts = {f"story{number}": story for number, story in enumerate(stories.values())}
        for host, story in hosts.items():
            (place / f"{host}.answers").write_text(json.dumps(story.answers))
            (place / f"{host}.calls").write_text("")
        self._write(role, part, hosts, show)
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                "hosts.json",
                "-f",
                "8",
                *self.options,
                "play.json",
            ],
            cwd=self.folder,
            env={
                **{name: value for name, value in environment_of(self.folder).items() if "CALLBACK" not in name},
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
                "STORIES": str(place),
                **self.environment,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]" not in done.stdout + done.stderr, done.stdout + done.stderr
        return {name: self._told(place / host) for name, host in zip(stories, hosts, strict=True)}

    def _write(self, role: str, part: str, hosts: Mapping[str, Story], show: Mapping[str, str]) -> None:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"all": {"hosts": {host: {**local, **story.variables} for host, story in hosts.items()}}}
        include = {"name": f"rewind.database.{role}", "tasks_from": part, "public": True}
        shown = ", ".join(f"'{name}': {expression}" for name, expression in show.items())
        content = f"{{{{ {{'message': story_failed | default(''), 'shown': {{{shown}}}}} | to_json }}}}"
        play = {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [
                {
                    "block": [{"ansible.builtin.include_role": include}],
                    "rescue": [{"ansible.builtin.set_fact": {"story_failed": "{{ ansible_failed_result.msg }}"}}],
                },
                {
                    "ansible.builtin.copy": {
                        "content": content,
                        "dest": "{{ playbook_dir }}/stories/{{ inventory_hostname }}",
                    },
                    "check_mode": False,
                },
            ],
        }
        (self.folder / "ansible.cfg").write_text("[defaults]\n")
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        (self.folder / "play.json").write_text(json.dumps([play]))

    @staticmethod
    def _told(path: Path) -> Told:
        end = json.loads(path.read_text())
        calls = [json.loads(line) for line in path.with_suffix(".calls").read_text().splitlines()]
        return Told(" ".join(end["message"].split()), end["shown"], calls)
