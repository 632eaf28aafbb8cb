#!/usr/bin/python
# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_watch
short_description: Watch an application after a restore
version_added: 1.0.0
author:
  - Rewind contributors (@rewind-contributors)
description:
  - Looks at the application's health address, at its status and deployments in Coolify and, where a project is named,
    at the number of events in Sentry, until it can be said whether the application is well.
  - There are three answers - V(good), V(bad) and V(not_enough_data). Bad is said at once, the others at the end of the
    soak. What is not known is never held for good; nor is an application that was well only now and then, or an error
    rate that is not known up to the end.
  - A container that runs proves nothing. Where Coolify has no health check of it, an application is good only with
    O(health_url) or O(sentry_project).
  - The error rate is judged twice, over the whole time since the cutover and over the last minutes alone. The time
    before the incident is asked for at each look until it could be read.
  - A service that does not answer is no failure of the task; it is in RV(watch.notes), and what only it knows is
    missing.
  - It only reads. In check mode it looks once.
extends_documentation_fragment:
  - rewind.database.coolify
  - rewind.database.sentry
  - rewind.database.attributes.info
options:
  application:
    description: The UUID of the application in Coolify.
    type: str
    required: true
  since:
    description: When the application was cut over to the restored data.
    type: str
    required: true
  soak:
    description: Seconds from then on for which to watch. Where they have passed already, a few looks suffice.
    type: float
    default: 3600.0
  poll_interval:
    description: Seconds between two looks.
    type: float
    default: 15.0
  health_url:
    description: An address that answers 200 only when the application can use its database.
    type: str
  readings:
    description: How many looks in a row make health good, or bad.
    type: int
    default: 3
  sentry_organization:
    description: The slug or the id of the organization in Sentry.
    type: str
  sentry_project:
    description: The slug or the id of the project in Sentry; without it the error rate is not judged.
    type: str
  baseline_since:
    description: The beginning of the time before the incident, with which the error rate is compared.
    type: str
  baseline_until:
    description: Its end.
    type: str
  min_minutes:
    description: Minutes of counted events that an error rate needs, before and after.
    type: float
    default: 5.0
  factor:
    description: How many times the rate before the incident is still good.
    type: float
    default: 2.0
  slack:
    description: Events a minute that are good beside that.
    type: float
    default: 1.0
  min_events:
    description: Fewer events than this are never bad.
    type: int
    default: 10
  settle:
    description: Seconds that an event may take until Sentry counts it.
    type: float
    default: 60.0
  grace:
    description: Seconds after the cutover in which a look may find an application that is only just starting.
    type: float
    default: 60.0
  max_not_well_percent:
    description: How many of the looks after that, in percent, may find it not well or not known to be well.
    type: float
    default: 10.0
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - It looks once.
seealso:
  - module: rewind.database.sentry_event_rate_info
  - module: rewind.database.incident_plan
"""

EXAMPLES = r"""
- name: Watch the application for half an hour after its cutover
  rewind.database.incident_watch:
    application: x8g4kso0gk4ws80gk8c4ogw0
    since: "2025-01-13T14:52:10Z"
    soak: 1800
    health_url: https://tracker.example.com/api/health
    sentry_organization: acme
    sentry_project: tracker
    baseline_since: "2025-01-13T13:25:00Z"
    baseline_until: "2025-01-13T14:25:00Z"
  register: watched
"""

RETURN = r"""
watch:
  description: What was seen.
  returned: success
  type: dict
  contains:
    answer:
      description: V(good), V(bad) or V(not_enough_data).
      type: str
    final:
      description: Whether more looks would change nothing; false in check mode before the end of the soak.
      type: bool
    reasons:
      description: Why; for V(not_enough_data), what is missing.
      type: list
      elements: str
    notes:
      description: What could not be read.
      type: list
      elements: str
    started:
      description: When it began to watch.
      type: str
    ended:
      description: When it ended.
      type: str
    seconds:
      description: How long that was.
      type: float
    looks:
      description: How often it looked.
      type: int
    looks_not_well:
      description: How often the application was not well.
      type: int
    baseline:
      description: The events before the incident, as RV(rewind.database.sentry_event_rate_info#module:rate), or null.
      type: dict
    baseline_read_at:
      description: When they could be read, or null.
      type: str
    rate:
      description: Those since the cutover, in the same form, or null.
      type: dict
    recent:
      description: Those of the last minutes alone (at least five, or O(min_minutes)), in the same form, or null.
      type: dict
    limit:
      description: The events a minute that are still good; null where nothing is known to compare with.
      type: float
    events:
      description: What changed, oldest first - C(at), C(text).
      type: list
      elements: dict
elapsed:
  description: Seconds that the task took.
  returned: always
  type: float
"""

from typing import Any

from ansible_collections.rewind.database.plugins.module_utils._incident.looking import Watch
from ansible_collections.rewind.database.plugins.module_utils._options import COOLIFY, SENTRY
from ansible_collections.rewind.database.plugins.module_utils._task import Spec, Task, run_module

SPEC = Spec(
    arguments={
        "application": {"type": "str", "required": True},
        "since": {"type": "str", "required": True},
        "soak": {"type": "float", "default": 3600.0},
        "poll_interval": {"type": "float", "default": 15.0},
        "health_url": {"type": "str", "no_log": True},
        "readings": {"type": "int", "default": 3},
        "sentry_organization": {"type": "str"},
        "sentry_project": {"type": "str"},
        "baseline_since": {"type": "str"},
        "baseline_until": {"type": "str"},
        "min_minutes": {"type": "float", "default": 5.0},
        "factor": {"type": "float", "default": 2.0},
        "slack": {"type": "float", "default": 1.0},
        "min_events": {"type": "int", "default": 10},
        "settle": {"type": "float", "default": 60.0},
        "grace": {"type": "float", "default": 60.0},
        "max_not_well_percent": {"type": "float", "default": 10.0},
    },
    required_by={"sentry_project": ("sentry_organization",)},
    required_together=(("baseline_since", "baseline_until"),),
).merge(COOLIFY, SENTRY)


def run(task: Task) -> dict[str, Any]:
    """Watch."""
    return {"changed": False, "watch": Watch(task).run()}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
