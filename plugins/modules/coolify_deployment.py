#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: coolify_deployment
short_description: Deploy an application of Coolify and prove that it worked
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Deploys, restarts, rolls back, starts or stops an application, waits until the deployment has ended, and then until
    its health was good for a while.
  - Success is only a deployment that Coolify really stored, that was asked for by this task and that ended
    V(finished). "Already queued", a UUID that cannot be found and a lost answer are none of that - the list of
    deployments is read, what runs is waited for, and it is asked again where nothing was queued.
  - By default the commit that runs now is deployed again, not the newest one of its branch. From Coolify 4.3.0 that is
    done by a rollback to that commit, which uses the existing image unless a variable with the flag C(is_buildtime) has
    changed. Before, the commit is set on the application until the deployment has ended, and since it counts as a
    changed setting the image of that commit is built again.
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.wait
  - rewind.database.state
  - rewind.database.journal
  - rewind.database.attributes
options:
  application:
    description: The UUID of the application.
    type: str
    required: true
  action:
    description:
      - What to do. V(deploy) and V(restart) differ only with O(commit=configured).
      - V(rollback) needs O(commit). V(start) does nothing when the application runs, V(stop) when it is stopped.
      - V(watch) changes nothing and deploys nothing. It only waits until the health of what runs was good for O(soak).
    type: str
    choices: [deploy, restart, rollback, start, stop, watch]
    default: deploy
  commit:
    description:
      - The commit to deploy, or the tag for an application made of an image.
      - V(running) is that of the last deployment that finished, once no other one runs. Name the commit where the data
        was checked against a certain one.
      - V(configured) is whatever Coolify would take - the commit set on the application, else the newest one of its
        branch.
    type: str
    default: running
  force:
    description: Whether to build the image again without its cache.
    type: bool
    default: false
  after:
    description:
      - An instant (RFC 3339), usually RV(rewind.database.coolify_application_env#module:written_at).
      - Nothing is done when the last finished deployment was asked for later than that and none runs now, since it has
        read the environment as it is. Otherwise the application is deployed.
    type: str
  deployment_uuid:
    description: Follow this deployment instead of asking for one.
    type: str
  require_health:
    description: Whether the application must then be healthy.
    type: bool
    default: true
  soak:
    description: Seconds for which its health must be good without a break.
    type: float
    default: 10.0
  healthy_readings:
    description: How many good readings in a row it takes at least.
    type: int
    default: 3
  unhealthy_grace:
    description:
      - Seconds after the deployment, or with O(action=watch) after the first look, during which C(running:unhealthy) is
        waited out. Coolify shows that after every good rolling update, until it looks at the container again after up
        to 60 seconds.
    type: float
    default: 90.0
  health_url:
    description:
      - An address of the application to ask as well, each time that Coolify's cached status is read. Anything but a 2xx
        answer is bad.
    type: str
  cancel_on_timeout:
    description: Whether to cancel the deployment when O(wait_timeout) has passed, before the task fails.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait for the end of the deployment and for health.
      - Before Coolify 4.3.0 the running commit can only be kept with O(wait=true).
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait in all, also for deployments of others that run before.
      - When they have passed the task fails, and RV(ignore:partial) holds what is known.
    type: float
    default: 900.0
  poll_interval:
    description: Seconds between two looks at the state. Coolify allows 200 requests a minute by default.
    type: float
    default: 3.0
"""

EXAMPLES = r"""
- name: Deploy the running commit again, with the environment as it is now
  rewind.database.coolify_deployment:
    application: x8g4kso0gk4ws80gk8c4ogw0
    after: "{{ env.written_at }}"
    health_url: https://tracker.example.com/api/health
    soak: 30

- name: Deploy the commit that fits the restored data
  rewind.database.coolify_deployment:
    application: x8g4kso0gk4ws80gk8c4ogw0
    action: rollback
    commit: 3f2c1b0a9e8d7c6b5a4938271605f4e3d2c1b0a9
"""

RETURN = r"""
deployment:
  description: The deployment, or null where none was needed (O(action=stop), O(action=watch)).
  returned: success
  type: dict
  contains:
    uuid:
      description: Its UUID.
      type: str
    status:
      description: V(finished), or as far as it got with O(wait=false).
      type: str
    commit:
      description: The commit.
      type: str
    build_skipped:
      description: Whether the existing image was used. Null when the log does not say or cannot be read.
      type: bool
    restart_only:
      description: Whether a restart was asked for.
      type: bool
    rollback:
      description: Whether a rollback was asked for.
      type: bool
    created_at:
      description: When it was asked for.
      type: str
    finished_at:
      description: When it ended.
      type: str
    log_tail:
      description: The last lines of its log, without secrets; empty where they cannot be read or cleaned.
      type: list
      elements: str
application:
  description: The application at the end.
  returned: success
  type: dict
  contains:
    uuid:
      description: Its UUID.
      type: str
    status:
      description: State and health.
      type: str
    health:
      description: The part of the status about health.
      type: str
    server_reachable:
      description: Whether Coolify reaches its server.
      type: bool
    probe:
      description: Whether O(health_url) answered well; null without it.
      type: bool
phases:
  description: What was waited for and how long.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description:
        - V(other_deployment), V(request), V(queued), V(in_progress), V(put_back), V(health), V(cancel) or V(stop).
      type: str
    seconds:
      description: How long.
      type: float
pin:
  description: What was set on the application while the deployment ran, where that was needed; else null.
  returned: success
  type: dict
  contains:
    field:
      description: The setting.
      type: str
    value:
      description: What it was set to.
      type: str
    before:
      description: What it was before.
      type: str
    restored:
      description: Whether it is that again.
      type: bool
notes:
  description: What else there is to know about how it was deployed.
  returned: success
  type: list
  elements: str
operations:
  description: The requests that changed something.
  returned: success
  type: list
  elements: str
diff:
  description: Deployment and commit before and after.
  returned: success
  type: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._coolify.deploying import Deployer, Order
from ansible_collections.rewind.database.plugins.module_utils._coolify.probe import Probe
from ansible_collections.rewind.database.plugins.module_utils._journalled import JOURNAL, journalled
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, WAIT
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module
from ansible_collections.rewind.database.plugins.module_utils._waiter import Deadline

SPEC = COOLIFY.merge(
    WAIT,
    JOURNAL,
    Spec(
        arguments={
            "application": {"type": "str", "required": True},
            "action": {
                "type": "str",
                "choices": ["deploy", "restart", "rollback", "start", "stop", "watch"],
                "default": "deploy",
            },
            "commit": {"type": "str", "default": "running"},
            "force": {"type": "bool", "default": False},
            "after": {"type": "str"},
            "deployment_uuid": {"type": "str"},
            "require_health": {"type": "bool", "default": True},
            "soak": {"type": "float", "default": 10.0},
            "healthy_readings": {"type": "int", "default": 3},
            "unhealthy_grace": {"type": "float", "default": 90.0},
            "health_url": {"type": "str", "no_log": True},
            "cancel_on_timeout": {"type": "bool", "default": True},
            "wait_timeout": {"type": "float", "default": 900.0},
            "poll_interval": {"type": "float", "default": 3.0},
        }
    ),
)


@journalled
def run(task: Task) -> dict[str, Any]:
    """Deploy and prove it."""
    deadline = Deadline(task.params["wait_timeout"])
    order, probe = Order.read(task.params), Probe.of(task.params)
    return Deployer(client_for(task, deadline), task, order, deadline, probe).run()


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
