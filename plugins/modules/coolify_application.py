#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: coolify_application
short_description: Change settings of an application of Coolify
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Sets what a cutover pauses, pins or needs - whether a push deploys, the commit, the health check - and leaves
    everything else as it is.
  - What was written is read back. The values before are returned, so that they can be put back.
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.journal
  - rewind.database.attributes
options:
  application:
    description: The UUID of the application.
    type: str
    required: true
  auto_deploy:
    description:
      - Whether a push to the repository deploys the application.
      - Where Coolify does not return the present value it is written each time.
    type: bool
  git_commit_sha:
    description: The commit to stay on, or V(HEAD) to follow the branch.
    type: str
  health_check:
    description: The health check. What is not set stays as it is. It takes effect with the next deployment.
    type: dict
    suboptions:
      enabled:
        description: Whether there is one.
        type: bool
      type:
        description: How health is checked.
        type: str
        choices: [http, cmd]
      command:
        description: The command, for V(cmd).
        type: str
      path:
        description: The path to ask for. It should query the database.
        type: str
      port:
        description: The port.
        type: str
      host:
        description: The host.
        type: str
      method:
        description: The HTTP method.
        type: str
      scheme:
        description: The scheme.
        type: str
        choices: [http, https]
      return_code:
        description: The status that is good.
        type: int
      response_text:
        description: The text that a good answer holds.
        type: str
      interval:
        description: Seconds between two checks.
        type: int
      timeout:
        description: Seconds that a check may take.
        type: int
      retries:
        description: How many failed checks make it unhealthy.
        type: int
      start_period:
        description: Seconds after the start in which failed checks do not count.
        type: int
"""

EXAMPLES = r"""
- name: Deploy nothing by itself from now on
  rewind.database.coolify_application:
    application: x8g4kso0gk4ws80gk8c4ogw0
    auto_deploy: false
  register: paused

- name: Put it back as it was
  rewind.database.coolify_application:
    application: x8g4kso0gk4ws80gk8c4ogw0
    auto_deploy: "{{ paused.before.auto_deploy }}"
  when: paused.before.auto_deploy is not none
"""

RETURN = r"""
application:
  description: The application, as returned by M(rewind.database.coolify_application_info) but without its env rows.
  returned: success
  type: dict
before:
  description: The values before, of the options that were set; null where Coolify did not return one.
  returned: success
  type: dict
  sample: {auto_deploy: true}
operations:
  description: The requests that changed something.
  returned: success
  type: list
  elements: str
diff:
  description: What changed.
  returned: success
  type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._coolify.changing import change_application
from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "application": {"type": "str", "required": True},
        "auto_deploy": {"type": "bool"},
        "git_commit_sha": {"type": "str"},
        "health_check": {
            "type": "dict",
            "options": {
                "enabled": {"type": "bool"},
                "type": {"type": "str", "choices": ["http", "cmd"]},
                "command": {"type": "str"},
                "path": {"type": "str"},
                "port": {"type": "str"},
                "host": {"type": "str"},
                "method": {"type": "str"},
                "scheme": {"type": "str", "choices": ["http", "https"]},
                "return_code": {"type": "int"},
                "response_text": {"type": "str"},
                "interval": {"type": "int"},
                "timeout": {"type": "int"},
                "retries": {"type": "int"},
                "start_period": {"type": "int"},
            },
        },
    },
    required_one_of=(("auto_deploy", "git_commit_sha", "health_check"),),
).merge(COOLIFY, JOURNAL)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Change the settings."""
    return change_application(client_for(task), task)


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
