#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: coolify_application_info
short_description: Read an application of Coolify, its env rows and what the token may do
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Reads one application with its status, health check, running commit and env rows, or lists all applications.
  - The value of an env row is never returned. Of a connection string its parts without the password are shown, and a
    keyed hash by which two of them can be compared.
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.state
  - rewind.database.attributes.info
options:
  application:
    description:
      - The UUID of the application. Without it all applications of the token's team are listed, without their env rows.
    type: str
  prove_abilities:
    description:
      - Whether to prove that the token has the abilities C(write) and C(deploy), by two requests about things that do
        not exist and that therefore change nothing. Coolify has no other way to tell.
      - In check mode only reading requests are sent, and both abilities read V(unproven).
    type: bool
    default: true
  supplied_env:
    description:
      - The names of environment variables by the key of an env row. Such a variable holds the row's present connection
        string, given by a person because Coolify does not show it (a locked row) or Neon does not reveal its password.
      - A variable that is not set counts as not given. A string that is not the one in a row that can be read is not
        used, with a warning.
    type: dict
    default: {}
seealso:
  - module: rewind.database.coolify_deployment_info
  - module: rewind.database.coolify_consumer_info
"""

EXAMPLES = r"""
- name: Read the application
  rewind.database.coolify_application_info:
    application: x8g4kso0gk4ws80gk8c4ogw0
  register: coolify

- name: Say which host its database has
  ansible.builtin.debug:
    msg: "{{ coolify.application.environment | selectattr('key', 'equalto', 'DATABASE_URL')
      | rejectattr('is_preview') | map(attribute='connection.host') | first }}"

- name: Stop when a deployment would not be rolling
  ansible.builtin.assert:
    that: coolify.application.rolling.ok
    fail_msg: "Stopped before it starts again, because {{ coolify.application.rolling.reasons | join(' and ') }}"
"""

RETURN = r"""
version:
  description: The version of Coolify.
  returned: success
  type: str
  sample: 4.3.11
application:
  description: The application, or null when all are listed. What is not known is null.
  returned: success
  type: dict
  contains:
    uuid:
      description: Its UUID.
      type: str
    name:
      description: Its name.
      type: str
    fqdn:
      description: Its addresses, separated by commas.
      type: str
    status:
      description:
        - State and health as Coolify last saw them, for example V(running:healthy).
        - This is a cache of up to a minute; see RV(application.server_reachable).
      type: str
    server_reachable:
      description: Whether Coolify reaches the application's server. While it does not, the status is an old one.
      type: bool
    build_pack:
      description: How it is built.
      type: str
    git_repository:
      description: The repository.
      type: str
    git_branch:
      description: The branch of the repository.
      type: str
    git_commit_sha:
      description: The commit that it is set to, or V(HEAD) when it follows the branch.
      type: str
    image_tag:
      description: The tag of the image, for an application made of one.
      type: str
    commit:
      description: The commit of the last deployment that finished. That is what runs.
      type: str
    auto_deploy:
      description: Whether a push deploys it; null where Coolify does not say.
      type: bool
    health_check:
      description: Its health check.
      type: dict
      contains:
        enabled:
          description: Whether Coolify checks its health. Without that a deployment does not wait for it.
          type: bool
        type:
          description: V(http) or V(cmd).
          type: str
        path:
          description: The path that is asked for.
          type: str
    custom_healthcheck_found:
      description: Whether its Dockerfile has a health check of its own.
      type: bool
    rolling:
      description: Whether the old container serves until the new one is healthy.
      type: dict
      contains:
        ok:
          description: Whether it does.
          type: bool
        reasons:
          description: Why it is stopped first.
          type: list
          elements: str
    migration_hints:
      description: Commands that may run a migration when it is deployed.
      type: list
      elements: dict
      contains:
        where:
          description: The setting that holds the command.
          type: str
        command:
          description: The command, without secrets.
          type: str
    environment:
      description: Its env rows. A key may be there twice, once for production and once for previews.
      type: list
      elements: dict
      contains:
        uuid:
          description: Its UUID.
          type: str
        key:
          description: The name of the variable.
          type: str
        is_preview:
          description: Whether it is for preview deployments.
          type: bool
        is_literal:
          description: Whether C($NAME) in it stays as it is.
          type: bool
        is_multiline:
          description: Whether it has several lines.
          type: bool
        is_shown_once:
          description: Whether it is locked.
          type: bool
        is_runtime:
          description: Whether the container gets it.
          type: bool
        is_buildtime:
          description: Whether the build gets it. A change of it then needs a new build.
          type: bool
        is_shared:
          description: Whether its value comes from a shared variable.
          type: bool
        comment:
          description: The comment.
          type: str
        readable:
          description: Whether its value can be read. A locked one cannot since Coolify 4.2.0.
          type: bool
        supplied:
          description: Whether RV(application.environment[].connection) is that of a string in O(supplied_env).
          type: bool
        duplicate:
          description: Whether there are more rows of this key. Which one counts is then not certain.
          type: bool
        updated_at:
          description: When it was last written.
          type: str
        connection:
          description: Where it leads, if it is a connection string of PostgreSQL.
          type: dict
          contains:
            host:
              description: The host.
              type: str
            port:
              description: The port.
              type: int
            user:
              description: The role.
              type: str
            database:
              description: The database.
              type: str
            pooled:
              description: Whether the host is that of a pooler.
              type: bool
            parameters:
              description: The parameters.
              type: dict
            template:
              description: The string without its password.
              type: str
            hash:
              description: A keyed hash of the whole string.
              type: str
applications:
  description: All applications, without O(application), each like RV(application) less env rows, hints and commit.
  returned: success
  type: list
  elements: dict
abilities:
  description: What the token may do, each V(proven), V(missing) or V(unproven).
  returned: success
  type: dict
  contains:
    read:
      description: Reading.
      type: str
    read_sensitive:
      description: Reading the values of env rows and the logs of deployments.
      type: str
    write:
      description: Changing applications and env rows.
      type: str
    deploy:
      description: Deploying, restarting, stopping, cancelling.
      type: str
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._coolify.client import client_for
from ansible_collections.rewind.database.plugins.module_utils._coolify.facts import read_application, read_applications
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, STATE
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "application": {"type": "str"},
        "prove_abilities": {"type": "bool", "default": True},
        "supplied_env": {"type": "dict", "default": {}},
    }
).merge(COOLIFY, STATE)


def run(task: Task) -> dict[str, Any]:
    """Read one application, or all."""
    client = client_for(task)
    if task.params["application"] is None:
        return read_applications(client, task)
    return read_application(client, task, task.params["application"])


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
